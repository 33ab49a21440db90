//! Reads JSON of strangers strictly: bounded in size and depth, and no key twice in one object.
//!
//! A key that stands twice is read differently by different parsers, so that what was signed and
//! what is believed come apart. The check runs over the same bytes before any type is made of them.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

/// What a document may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest document in bytes.
    pub bytes: usize,
    /// Deepest nesting of arrays and objects; the parser itself never goes beyond 127.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            depth: 32,
        }
    }
}

/// Says why bytes are not the JSON that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Longer than the limit.
    #[error("a JSON document of {found} bytes, more than the limit of {limit}")]
    TooLong {
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Not JSON, nested too deeply, or a key stands twice in one object.
    #[error("reading JSON strictly")]
    Strict(#[source] serde_json::Error),
    /// JSON of another shape.
    #[error("JSON of another shape")]
    Shape(#[source] serde_json::Error),
}

/// Reads one document.
///
/// # Errors
/// When a limit is passed, a key stands twice, something follows, or the shape is another one.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8], limits: &Limits) -> Result<T, JsonError> {
    if bytes.len() > limits.bytes {
        return Err(JsonError::TooLong {
            found: bytes.len(),
            limit: limits.bytes,
        });
    }
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    Strict {
        depth_left: limits.depth,
    }
    .deserialize(&mut parser)
    .and_then(|()| parser.end())
    .map_err(JsonError::Strict)?;
    serde_json::from_slice(bytes).map_err(JsonError::Shape)
}

/// Walks a document, keeps nothing but the keys of the open objects.
#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1);
        depth_left
            .map(|depth_left| Self { depth_left })
            .ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated keys")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key) {
                return Err(A::Error::custom("a key stands twice in one object"));
            }
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, limits: &Limits) -> Result<serde_json::Value, JsonError> {
        from_slice(text.as_bytes(), limits)
    }

    #[test]
    fn repeated_keys_are_refused_at_every_level() {
        let limits = Limits::default();
        for good in [
            "{}",
            r#"{"a":{"b":1},"b":[{"a":1},{"a":2}]}"#,
            r#" [null,1,-1,1.5,true,"x"] "#,
        ] {
            assert!(check(good, &limits).is_ok(), "{good}");
        }
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"x":{"a":1,"b":2,"a":3}}]"#,
            r"{} {}",
            r"{",
            "",
            "\u{feff}{}",
        ] {
            assert!(
                matches!(check(bad, &limits), Err(JsonError::Strict(_))),
                "{bad}"
            );
        }
        let error = check(r#"{"a":1,"a":1}"#, &limits).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("a key stands twice"), "{cause}");
    }

    #[test]
    fn limits_hold_from_both_sides() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let limits = Limits {
            bytes: 64,
            depth: 4,
        };
        assert!(check(&nested(4), &limits).is_ok());
        assert!(matches!(
            check(&nested(5), &limits),
            Err(JsonError::Strict(_))
        ));
        let padded = |length: usize| "1".to_owned() + &" ".repeat(length - 1);
        assert!(check(&padded(64), &limits).is_ok());
        assert!(matches!(
            check(&padded(65), &limits),
            Err(JsonError::TooLong {
                found: 65,
                limit: 64
            })
        ));
        let deep = Limits {
            bytes: usize::MAX,
            depth: usize::MAX,
        };
        assert!(check(&nested(100_000), &deep).is_err());
    }
}
