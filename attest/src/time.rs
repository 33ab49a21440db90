//! Moments as statements write them: RFC 3339, UTC, whole seconds.
//!
//! This module never asks what time it is; the caller does.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

/// A moment in whole seconds since 1970-01-01T00:00:00Z, between the years 0 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// The text or number is not a moment between the years 0 and 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-01-31T23:59:59Z between the years 0 and 9999")]
pub struct ParseTimestampError;

impl Timestamp {
    /// The start of 1970.
    pub const EPOCH: Self = Self(0);

    /// Takes seconds since 1970; an error outside the years 0 to 9999.
    ///
    /// # Errors
    /// When the year would not have four digits.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, ParseTimestampError> {
        // 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z
        if (-62_167_219_200..=253_402_300_799).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(ParseTimestampError)
        }
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0
    }

    /// Reads a day (`2026-01-31`, its first second) or a moment.
    ///
    /// # Errors
    /// When it is neither.
    pub fn from_day_or_time(text: &str) -> Result<Self, ParseTimestampError> {
        match text.len() {
            10 => format!("{text}T00:00:00Z").parse(),
            _ => text.parse(),
        }
    }

    /// The moment `seconds` later, or the last representable one.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self::from_unix_seconds(self.0.saturating_add(seconds)).unwrap_or(self)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| ParseTimestampError)?;
        Self::from_unix_seconds(time.timestamp())
    }
}

impl TryFrom<String> for Timestamp {
    type Error = ParseTimestampError;
    fn try_from(text: String) -> Result<Self, ParseTimestampError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // every value of the type is inside chrono's range
        let time = DateTime::from_timestamp(self.0, 0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_seconds_agree() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            let time = Timestamp::from_unix_seconds(seconds).expect("in range");
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        assert!(Timestamp::from_unix_seconds(253_402_300_800).is_err());
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert_eq!(
            Timestamp::from_day_or_time("2023-11-14"),
            "2023-11-14T00:00:00Z".parse()
        );
        for bad in ["2023-02-30", "2023-11-1", "tomorrow!!"] {
            assert!(Timestamp::from_day_or_time(bad).is_err(), "{bad}");
        }
        assert_eq!(
            "2023-11-14T23:13:20+01:00"
                .parse::<Timestamp>()
                .map(|t| t.0),
            Ok(1_700_000_000)
        );
    }
}
