//! Settings of a plan: values of the sandbox's profile that a release needs otherwise, each with who
//! chose it. What is absent is the profile's own.
//!
//! A recipe sets one where the format or the tools of a release keep it, so that the second build of a
//! verdict does not vary what is known to matter.

use countersign_attest::origin::Origin;
use serde::{Deserialize, Serialize};

use super::{PlanError, Valued, is_inside};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether the format keeps no path, so that a confirming build may lie elsewhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any_path: bool,
    /// The folder of the source tree: absolute, below `/build`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Valued<String>>,
    /// The home of the build user: absolute, below `/build`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<Valued<String>>,
    /// The name of the build user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Valued<String>>,
    /// Permission bits that new files do not get, at most `0o777`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<Valued<u32>>,
    /// What build tools are told to run at once, 1 to 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Valued<u32>>,
    /// Whether `SOURCE_DATE_EPOCH` is set; another value than the commit's time is a variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Valued<bool>>,
    /// Seconds between the time of the source's files and the commit's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_time_shift_seconds: Option<Valued<i64>>,
}

impl Settings {
    /// Whether a plan says nothing here, and then has no such field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Who chose the values that are there.
    pub(super) fn origins(&self) -> impl Iterator<Item = Origin> {
        let texts = [&self.path, &self.home, &self.user];
        let texts = texts.map(|value| value.as_ref().map(|v| v.origin));
        let rest = [
            self.umask.as_ref().map(|v| v.origin),
            self.jobs.as_ref().map(|v| v.origin),
            self.epoch.as_ref().map(|v| v.origin),
            self.file_time_shift_seconds.as_ref().map(|v| v.origin),
        ];
        texts.into_iter().chain(rest).flatten()
    }

    /// Refuses what could leave the build's folder or become another line of `/etc/passwd`.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let refuse = |what, value: &str| {
            Err(PlanError::Value {
                what,
                value: value.to_owned(),
            })
        };
        for (what, folder) in [
            ("a path that is not below /build", &self.path),
            ("a home that is not below /build", &self.home),
        ] {
            if let Some(folder) = folder
                && !is_build_folder(&folder.value)
            {
                return refuse(what, &folder.value);
            }
        }
        if let (Some(path), Some(home)) = (&self.path, &self.home)
            && (path.value.starts_with(&home.value) || home.value.starts_with(&path.value))
        {
            return refuse("a home and a path that meet", &home.value);
        }
        if let Some(user) = &self.user
            && !is_user_name(&user.value)
        {
            return refuse("a user name that is none", &user.value);
        }
        if let Some(umask) = self.umask.as_ref().filter(|umask| umask.value > 0o777) {
            return refuse("a umask above 0777", &format!("{:#o}", umask.value));
        }
        if let Some(jobs) = &self.jobs
            && !(1..=1024).contains(&jobs.value)
        {
            return refuse("jobs that are not 1 to 1024", &jobs.value.to_string());
        }
        Ok(())
    }
}

/// What an operator's configuration says about settings; a plan has it with its origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SettingHints {
    /// As [`Settings::any_path`].
    pub any_path: bool,
    /// As [`Settings::path`]; `{version}` and `{tag}` are replaced.
    pub path: Option<String>,
    /// As [`Settings::home`].
    pub home: Option<String>,
    /// As [`Settings::user`].
    pub user: Option<String>,
    /// As [`Settings::umask`].
    pub umask: Option<u32>,
    /// As [`Settings::jobs`].
    pub jobs: Option<u32>,
    /// As [`Settings::epoch`].
    pub epoch: Option<bool>,
    /// As [`Settings::file_time_shift_seconds`].
    pub file_time_shift_seconds: Option<i64>,
}

impl SettingHints {
    /// The settings of a plan, chosen by the operator.
    #[must_use]
    pub(crate) fn settings(&self, fill: impl Fn(&String) -> Valued<String>) -> Settings {
        Settings {
            any_path: self.any_path,
            path: self.path.as_ref().map(&fill),
            home: self.home.as_ref().map(&fill),
            user: self.user.as_ref().map(&fill),
            umask: self.umask.map(of_operator),
            jobs: self.jobs.map(of_operator),
            epoch: self.epoch.map(of_operator),
            file_time_shift_seconds: self.file_time_shift_seconds.map(of_operator),
        }
    }
}

const fn of_operator<T: Copy>(value: T) -> Valued<T> {
    Valued {
        value,
        origin: Origin::Operator,
    }
}

/// An absolute path below `/build` without a part that could surprise, short enough to be a socket's.
fn is_build_folder(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+~/-".contains(c);
    path.len() <= 100
        && path.chars().all(plain)
        && path.strip_prefix("/build/").is_some_and(is_inside)
}

fn is_user_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(plain)
        && !matches!(name, "root" | "nobody" | "nogroup")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<T>(value: T) -> Option<Valued<T>> {
        Some(Valued::new(value, Origin::Operator))
    }

    fn path(text: &str) -> Settings {
        Settings {
            path: value(text.to_owned()),
            ..Settings::default()
        }
    }

    fn user(text: &str) -> Settings {
        Settings {
            user: value(text.to_owned()),
            ..Settings::default()
        }
    }

    #[test]
    fn settings_stay_in_the_builds_folder_and_on_their_line() {
        assert!(Settings::default().check().is_ok());
        assert!(path("/build/lib-1.2.3+dfsg~rc1").check().is_ok());
        assert!(user("sbuild").check().is_ok());
        for text in [
            "/build",
            "/build/",
            "/build/../etc",
            "build/x",
            "/etc",
            "/build/a b",
            "/build/a\n",
            "/build//x",
            "",
        ] {
            assert!(path(text).check().is_err(), "{text:?}");
        }
        for text in ["", "root", "a:b", "a\nb", "A", "0", &"a".repeat(33)] {
            assert!(user(text).check().is_err(), "{text:?}");
        }
        let meet = Settings {
            home: value("/build/a".to_owned()),
            ..path("/build/a/b")
        };
        assert!(meet.check().is_err());
        let umask = |bits| Settings {
            umask: value(bits),
            ..Settings::default()
        };
        assert!(umask(0o777).check().is_ok() && umask(0o1000).check().is_err());
        let jobs = |number| Settings {
            jobs: value(number),
            ..Settings::default()
        };
        assert!(jobs(1024).check().is_ok());
        assert!(jobs(0).check().is_err() && jobs(1025).check().is_err());
    }

    #[test]
    fn every_value_has_an_origin() {
        let all = Settings {
            any_path: true,
            path: value("/build/a".to_owned()),
            home: value("/build/b".to_owned()),
            user: value("c".to_owned()),
            umask: value(0),
            jobs: value(1),
            epoch: value(false),
            file_time_shift_seconds: value(1),
        };
        assert_eq!(all.origins().count(), 7);
        assert_eq!(Settings::default().origins().count(), 0);
        let text = serde_json::to_string(&Settings::default()).unwrap();
        assert_eq!(text, "{}");
    }
}
