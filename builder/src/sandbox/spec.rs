//! What is asked of a sandbox, and what one then holds, said in plain values: the fixed environment and
//! what the plan adds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::{Candidate, Limits, Network, Plan, ToolVersion};

use super::wall::Wall;
use super::{ID_BASE, ID_SLOTS, Profile};

/// What a build child needs beside the source tree.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// What to do.
    pub plan: Plan,
    /// Tools that the host found to be there, at the versions that the plan wants.
    pub tools: Vec<ToolVersion>,
    /// Folders with toolchains beside `/usr`, each seen read-only as `/toolchains/N`.
    pub toolchains: Vec<String>,
    /// A folder with a root file system that is seen instead of the host's, where the environment is
    /// not the host.
    pub root: Option<String>,
    /// The values of settings that must not matter, with what the plan sets.
    pub profile: Profile,
    /// First host id of the ranges to map, when started by root.
    pub id_base: u32,
    /// How many ranges there are: a sandbox takes the first that is free.
    pub id_slots: u32,
}

/// All that a sandbox is made from, beside the source tree.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) profile: Profile,
    /// A folder with another root file system than the host's.
    pub(crate) root: Option<String>,
    pub(crate) toolchains: Vec<String>,
    pub(crate) subdir: String,
    /// Programs with their arguments, never empty.
    pub(crate) steps: Vec<Vec<String>>,
    /// The whole environment, sorted.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) limits: Limits,
    /// Modification time of every source file, in seconds since 1970.
    pub(crate) file_time: i64,
    /// First host id of the first range that may be mapped, where root starts the sandbox.
    pub(crate) id_base: u32,
    /// How many ranges there are.
    pub(crate) id_slots: u32,
    /// What is on the loopback.
    pub(crate) network: Network,
    /// A wall that is not there; only the sandbox's own tests take one away.
    pub(crate) without: Option<Wall>,
}

impl Spec {
    /// What a replay needs. The candidate must have been checked.
    pub(crate) fn of_replay(request: &ReplayRequest) -> Self {
        let candidate = &request.plan.candidate;
        let epoch = request.plan.source.epoch.unix_seconds();
        let profile = &request.profile;
        let mut variables = fixed_variables(profile, request.toolchains.len(), epoch);
        for (name, value) in &candidate.variables {
            variables.insert(name.clone(), value.value.clone());
        }
        Self {
            file_time: epoch.saturating_add(profile.file_time_shift_seconds),
            profile: profile.clone(),
            root: request.root.clone(),
            toolchains: request.toolchains.clone(),
            subdir: candidate.subdir.clone(),
            steps: steps(candidate),
            variables,
            limits: Limits {
                cpus: fewer(candidate.limits.cpus, profile.cpus),
                ..candidate.limits
            },
            id_base: request.id_base,
            id_slots: request.id_slots,
            network: candidate.network,
            without: None,
        }
    }

    /// One trusted program without a source tree, to learn what this machine can do.
    pub(crate) fn of_probe(toolchains: &[String], argv: Vec<String>) -> Self {
        let profile = Profile::first();
        Self {
            variables: fixed_variables(&profile, toolchains.len(), 0),
            profile,
            root: None,
            toolchains: toolchains.to_vec(),
            subdir: String::new(),
            steps: vec![argv],
            limits: Limits {
                time_seconds: 30,
                log_bytes: 64 << 10,
                disk_bytes: 64 << 20,
                disk_inodes: 10_000,
                ..Limits::default()
            },
            file_time: 0,
            id_base: ID_BASE,
            id_slots: ID_SLOTS,
            network: Network::None,
            without: None,
        }
    }

    /// Whether a wall is there.
    pub(crate) fn stands(&self, wall: Wall) -> bool {
        self.without != Some(wall)
    }

    /// The search path inside, as the steps see it.
    pub(crate) fn search_path(&self) -> &str {
        self.variables.get("PATH").map_or("", String::as_str)
    }
}

/// The smaller limit of two, either of which may be none.
fn fewer(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    a.into_iter().chain(b).min()
}

fn steps(candidate: &Candidate) -> Vec<Vec<String>> {
    let values =
        |argv: &[crate::plan::Valued<String>]| argv.iter().map(|a| a.value.clone()).collect();
    candidate
        .steps
        .iter()
        .map(|step| values(&step.argv))
        .collect()
}

/// The environment of every build of a profile. Nothing of the host's gets in.
fn fixed_variables(profile: &Profile, toolchains: usize, epoch: i64) -> BTreeMap<String, String> {
    let mut path: Vec<String> = (0..toolchains)
        .map(|n| format!("/toolchains/{n}/bin"))
        .collect();
    path.extend(["/usr/local/bin", "/usr/bin", "/bin"].map(String::from));
    if profile.marked_environment {
        path.push("/i_capture_the_path".into());
    }
    let mut variables: BTreeMap<String, String> = [
        ("HOME", profile.home.clone()),
        ("LC_ALL", profile.locale.clone()),
        ("LOGNAME", profile.user_name.clone()),
        ("NO_COLOR", "1".into()),
        ("PATH", path.join(":")),
        ("TERM", "dumb".into()),
        ("TMPDIR", "/tmp".into()),
        ("TZ", profile.time_zone.clone()),
        ("USER", profile.user_name.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    if profile.epoch {
        set("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    if profile.marked_environment {
        set("CAPTURE_ENVIRONMENT", "i_capture_the_environment".into());
    }
    if let Some(jobs) = profile.jobs {
        set("CARGO_BUILD_JOBS", jobs.to_string());
        set("CMAKE_BUILD_PARALLEL_LEVEL", jobs.to_string());
        set("MAKEFLAGS", format!("-j{jobs}"));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolchains_come_first_in_the_search_path_and_nothing_else_changes() {
        let with = fixed_variables(&Profile::first(), 2, 7);
        let without = fixed_variables(&Profile::first(), 0, 7);
        assert_eq!(without["PATH"], "/usr/local/bin:/usr/bin:/bin");
        assert_eq!(
            with["PATH"],
            "/toolchains/0/bin:/toolchains/1/bin:/usr/local/bin:/usr/bin:/bin"
        );
        let differ: Vec<_> = with.iter().filter(|(k, v)| without[*k] != **v).collect();
        assert_eq!(differ.len(), 1);
    }

    #[test]
    fn what_a_profile_sets_shows_and_what_it_unsets_is_gone() {
        let first = Profile::first();
        let other = Profile {
            epoch: false,
            jobs: Some(3),
            marked_environment: true,
            ..first.clone()
        };
        let (first, other) = (fixed_variables(&first, 0, 7), fixed_variables(&other, 0, 7));
        assert_eq!(first["SOURCE_DATE_EPOCH"], "7");
        assert!(!other.contains_key("SOURCE_DATE_EPOCH"));
        assert_eq!(
            (other["MAKEFLAGS"].as_str(), first.get("MAKEFLAGS")),
            ("-j3", None)
        );
        assert!(other["PATH"].ends_with(":/i_capture_the_path"));
        assert!(!first.contains_key("CAPTURE_ENVIRONMENT"));
    }
}
