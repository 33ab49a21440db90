//! What is told of the evidence of a Python package and of each way, for people. Nothing is decided by
//! it but by [`way`], which names a way the same in every release of a project.

use super::candidate::Way;
use super::{PublishedFile, PypiEvidence, generator};
use crate::archive::escape;
use crate::recipe::Situation;

/// What the tree and the file say.
pub(super) fn said(evidence: &PypiEvidence) -> Vec<String> {
    let system = &evidence.project.system;
    let mut lines = vec![format!(
        "built by {}, which requires {}",
        system.backend,
        system.requires.join(", ")
    )];
    match &evidence.published {
        PublishedFile::NotGiven => lines.push("no file to look into".to_owned()),
        PublishedFile::Unreadable { detail } => lines.push(format!("the file: {detail}")),
        PublishedFile::Read(says) => {
            if let Some(generator) = &says.generator {
                lines.push(format!("made by {} {}", generator.tool, generator.version));
            }
            if let Some(umask) = says.umask {
                lines.push(format!("its files were made with umask {umask:03o}"));
            }
            if says.device_numbers {
                lines.push("written by an older Python: members have device numbers".to_owned());
            }
            lines.push(match says.times.as_slice() {
                [time] => format!("all its members are of one time, {time} seconds after 1970"),
                times => format!("its members are of {} or more times", times.len()),
            });
        }
    }
    lines.iter().map(|line| escape(line.as_bytes())).collect()
}

/// The same words for the same way.
pub(super) fn way(way: Way) -> String {
    match way {
        Way::AsNamed => "by the tools that the wheel names",
        Way::AsPipChooses => "by the tools that pip chooses",
        Way::BySdist => "by the tools that the wheel names, from an sdist",
        Way::ByFrontEnd => "by the command of the backend's tool",
    }
    .to_owned()
}

/// Why a way is tried.
pub(super) fn why(situation: &Situation<'_>, way: Way, recorded: bool) -> String {
    let made_by = generator(situation).map_or_else(
        || "no wheel of the release says what made it".to_owned(),
        |generator| {
            let (tool, version) = (&generator.tool, &generator.version);
            let named = format!("a wheel of the release names {tool} {version}");
            escape(named.as_bytes())
        },
    );
    let way = match way {
        Way::AsNamed => made_by,
        Way::AsPipChooses => {
            format!("{made_by}; pip chooses by the tree's own ranges as of upload")
        }
        Way::ByFrontEnd => {
            format!("{made_by}; its command takes what git lists, among it names with a dot")
        }
        Way::BySdist => {
            "most tools make a wheel from the sdist that they have just made".to_owned()
        }
    };
    if recorded {
        format!("{way}; the content is the same, so times and owners are copied from the file")
    } else {
        way
    }
}
