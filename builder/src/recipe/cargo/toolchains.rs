//! Which cargos are worth a try, and what to install where the right one is not at hand.

use super::{CargoEvidence, PublishedCrate, Range, Situation, TOOLS, version};
use crate::environment::FoundTool;

/// Most toolchains that are tried for one crate.
const MOST: usize = 4;
/// Most that are tried where none can have packed it: one of them may still write the same bytes.
const MOST_ELSEWISE: usize = 2;

/// Toolchains worth a try, the likeliest first, and what is missing: in words, where none or not all
/// that can have packed the crate are here.
pub(super) fn choose<'a>(
    situation: &Situation<'a>,
    evidence: &CargoEvidence,
) -> (Vec<Vec<&'a FoundTool>>, Option<String>) {
    let published_on = situation.published.published_on;
    let shown = match &evidence.published {
        PublishedCrate::Found(facts) => facts.cargo,
        PublishedCrate::NotGiven | PublishedCrate::Unreadable { .. } => Range::ANY,
    };
    let wanted = published_on.map_or(shown, |moment| shown.existing_on(moment));
    let mut sets = situation.capabilities.sets(&TOOLS);
    sets.sort_by_key(|set| version::order(cargo(set), published_on));
    let here: Vec<String> = sets.iter().map(|set| cargo(set).to_owned()).collect();
    let missing = wanted.missing(&here).map(|eras| {
        let listed = if here.is_empty() {
            "none".to_owned()
        } else {
            here.join(", ")
        };
        let install = version::install(wanted.to_install(&here, published_on));
        format!(
            "the crate was packed by cargo {wanted}; not at hand: {eras}; at hand: {listed}; to have one: \
             {install}, and DIR among the toolchains"
        )
    });
    let distance = |set: &Vec<&FoundTool>| {
        let minor = version::minor(cargo(set));
        minor.map_or(u32::MAX, |minor| wanted.distance(minor))
    };
    if sets.iter().any(|set| distance(set) == 0) {
        sets.retain(|set| distance(set) == 0);
        sets.truncate(MOST);
    } else {
        sets.sort_by_key(distance);
        sets.truncate(MOST_ELSEWISE);
    }
    (sets, missing)
}

fn cargo<'a>(set: &[&'a FoundTool]) -> &'a str {
    set.first().map_or("", |tool| tool.version.as_str())
}
