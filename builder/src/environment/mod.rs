//! What a build runs in, and what this machine can do, found by doing it.

use serde::{Deserialize, Serialize};

use crate::outcome::IdMode;

pub mod debian;
pub mod host;
pub mod rootfs;
pub(crate) mod tarball;

/// The command that makes a tool print its version. A library has no program of its own: the one that
/// uses it is asked.
#[must_use]
pub fn version_command(tool: &str) -> Vec<String> {
    let command: &[&str] = match tool {
        "node-zlib" => &["node", "-p", "process.versions.zlib"],
        "python3-zlib" => {
            let code = "import zlib; print(zlib.ZLIB_RUNTIME_VERSION)";
            &["python3", "-I", "-S", "-c", code]
        }
        "go" => &["go", "version"],
        program => &[program, "--version"],
    };
    command.iter().map(|&word| word.to_owned()).collect()
}

/// What this machine can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// `x86_64`, as Rust names it.
    pub architecture: String,
    /// How ids are mapped in a sandbox here; `None` where no sandbox works.
    pub id_mode: Option<IdMode>,
    /// Each thing that was tried.
    pub checks: Vec<Check>,
    /// Tools that run inside the sandbox, and the version each printed there.
    pub tools: Vec<FoundTool>,
    /// Toolchains of which a plan may have one beside those: what each adds or replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Vec<FoundTool>>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was tried, for people.
    pub name: String,
    /// Whether builds can do without it.
    pub required: bool,
    /// `None` when it works, else what happened.
    pub problem: Option<String>,
    /// What to do about it, where something can be done.
    pub remedy: Option<String>,
}

/// A tool inside the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundTool {
    /// The program's name, as in `PATH`.
    pub name: String,
    /// Its version, without a leading `v`.
    pub version: String,
}

impl Capabilities {
    /// Whether every required check works.
    #[must_use]
    pub fn can_build(&self) -> bool {
        self.id_mode.is_some()
            && self
                .checks
                .iter()
                .all(|c| !c.required || c.problem.is_none())
    }

    /// The versions in which some tools are there together, those of the alternatives last. Each set
    /// is in the order of `names`, and is listed once.
    #[must_use]
    pub fn sets<'a>(&'a self, names: &[&str]) -> Vec<Vec<&'a FoundTool>> {
        let find = |tools: &'a [FoundTool], name: &str| tools.iter().find(|t| t.name == name);
        let mut sets: Vec<Vec<&FoundTool>> = Vec::new();
        let own: &[FoundTool] = &[];
        for tools in std::iter::once(own).chain(self.alternatives.iter().map(Vec::as_slice)) {
            let pick = |name: &&str| find(tools, name).or_else(|| find(&self.tools, name));
            let set: Option<Vec<&FoundTool>> = names.iter().map(pick).collect();
            if let Some(set) = set.filter(|set| !sets.contains(set)) {
                sets.push(set);
            }
        }
        sets
    }

    /// The version of a tool, where it is there.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&FoundTool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}
