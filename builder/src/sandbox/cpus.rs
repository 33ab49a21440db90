//! Which processors a sandbox runs on.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::fault::{Doing, SandboxError};
use super::ids::RANGE;

/// Chooses as many of this process's processors as a limit allows; `None` where it has no more anyway.
/// Sandboxes with other ids start at another processor, so that they do not crowd the first.
pub(crate) fn choose(
    limit: Option<u32>,
    first_id: u32,
) -> Result<Option<Vec<usize>>, SandboxError> {
    let Some(limit) = limit else {
        return Ok(None);
    };
    let own = sched_getaffinity(Pid::from_raw(0)).doing("asking for this process's processors")?;
    let all: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| own.is_set(*cpu).unwrap_or(false))
        .collect();
    Ok(pick(&all, limit as usize, (first_id / RANGE) as usize))
}

fn pick(all: &[usize], limit: usize, start: usize) -> Option<Vec<usize>> {
    let limit = limit.max(1);
    if limit >= all.len() {
        return None;
    }
    let mut chosen: Vec<usize> = all
        .iter()
        .cycle()
        .skip(start % all.len()) // not empty: longer than the limit
        .take(limit)
        .copied()
        .collect();
    chosen.sort_unstable();
    Some(chosen)
}

/// Stays on these processors, with all that this process will start.
pub(crate) fn stay_on(cpus: &[usize]) -> Result<(), SandboxError> {
    let what = "staying on the processors of the sandbox";
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu).doing(what)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).doing(what)
}

#[cfg(test)]
mod tests {
    use super::pick;

    #[test]
    fn as_many_as_allowed_from_different_starts() {
        let all = [0, 2, 3, 7];
        assert_eq!(pick(&all, 2, 0), Some(vec![0, 2]));
        assert_eq!(pick(&all, 2, 5), Some(vec![2, 3]));
        assert_eq!(pick(&all, 2, 3), Some(vec![0, 7]));
        assert_eq!(pick(&all, 0, 0), Some(vec![0]));
        assert_eq!(pick(&all, 4, 1), None);
        assert_eq!(pick(&[], 1, 0), None);
    }
}
