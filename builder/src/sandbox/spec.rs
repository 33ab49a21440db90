//! What one sandbox holds, said in plain values: the fixed environment and what the plan adds.

use std::collections::BTreeMap;

use crate::child::ReplayRequest;
use crate::plan::{Candidate, Limits, Network};

use super::{ID_BASE, ID_SLOTS, Profile};

/// The folder inside in which the source tree lies.
pub(crate) const SOURCE: &str = "/build/source";
/// The build user's home inside: empty and writable.
pub(crate) const HOME: &str = "/build/home";

/// All that a sandbox is made from, beside the source tree.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) profile: Profile,
    pub(crate) toolchains: Vec<String>,
    pub(crate) subdir: String,
    /// Programs with their arguments, never empty.
    pub(crate) steps: Vec<Vec<String>>,
    /// The whole environment, sorted.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) limits: Limits,
    /// Modification time of every source file, in seconds since 1970.
    pub(crate) epoch: i64,
    /// First host id of the first range that may be mapped, where root starts the sandbox.
    pub(crate) id_base: u32,
    /// How many ranges there are.
    pub(crate) id_slots: u32,
    /// What is on the loopback.
    pub(crate) network: Network,
}

impl Spec {
    /// What a replay needs. The candidate must have been checked.
    pub(crate) fn of_replay(request: &ReplayRequest) -> Self {
        let candidate = &request.plan.candidate;
        let epoch = request.plan.source.epoch.unix_seconds();
        let mut variables = fixed_variables(&request.profile, request.toolchains.len(), epoch);
        for (name, value) in &candidate.variables {
            variables.insert(name.clone(), value.value.clone());
        }
        Self {
            profile: request.profile.clone(),
            toolchains: request.toolchains.clone(),
            subdir: candidate.subdir.clone(),
            steps: steps(candidate),
            variables,
            limits: candidate.limits,
            epoch,
            id_base: request.id_base,
            id_slots: request.id_slots,
            network: candidate.network,
        }
    }

    /// One trusted program without a source tree, to learn what this machine can do.
    pub(crate) fn of_probe(toolchains: &[String], argv: Vec<String>) -> Self {
        let profile = Profile::first();
        Self {
            variables: fixed_variables(&profile, toolchains.len(), 0),
            profile,
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
            epoch: 0,
            id_base: ID_BASE,
            id_slots: ID_SLOTS,
            network: Network::None,
        }
    }

    /// The search path inside, as the steps see it.
    pub(crate) fn search_path(&self) -> &str {
        self.variables.get("PATH").map_or("", String::as_str)
    }
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
    [
        ("HOME", HOME.to_owned()),
        ("LC_ALL", "C.UTF-8".into()),
        ("LOGNAME", profile.user_name.clone()),
        ("NO_COLOR", "1".into()),
        ("PATH", path.join(":")),
        ("SOURCE_DATE_EPOCH", epoch.to_string()),
        ("TERM", "dumb".into()),
        ("TMPDIR", "/tmp".into()),
        ("TZ", "UTC".into()),
        ("USER", profile.user_name.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
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
}
