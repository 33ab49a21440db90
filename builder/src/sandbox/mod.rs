//! The sandbox: a place where a stranger's build can do no harm (SANDBOX).

use serde::{Deserialize, Serialize};

pub mod process;
pub mod sys;

/// Values of settings that must not matter. The second build of a verdict gets other ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Host name.
    pub host_name: String,
    /// The build user's name.
    pub user_name: String,
    /// Whether files of the source are created in descending order of their names, which reverses the
    /// order in which a tmpfs lists a folder.
    pub reverse_order: bool,
}

/// Name and version of what the sandbox fixes, recorded in every attestation.
pub const PROFILE: &str = "countersign-sandbox/v0";

impl Profile {
    /// The profile of a first build.
    #[must_use]
    pub fn first() -> Self {
        Self {
            host_name: "localhost".into(),
            user_name: "build".into(),
            reverse_order: false,
        }
    }

    /// The profile of the build that has to confirm the first one.
    #[must_use]
    pub fn second() -> Self {
        Self {
            host_name: "rebuild".into(),
            user_name: "second".into(),
            reverse_order: true,
        }
    }
}
