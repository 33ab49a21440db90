//! The normalization `jar-manifest/v1`.

use super::normalization::{Normalization, Rule, Text};
use crate::archive::Container;

/// What build tools note about themselves and their machine in the main section of a jar's manifest,
/// and how its lines are folded and ended. Nothing of it changes how a jar is loaded; attributes that
/// do, those that name a version or a commit, and all other sections have to be equal.
pub(super) const V1: Normalization = Normalization {
    id: "jar-manifest/v1",
    hides: "who built a jar, with which tools and when, in the main section of its manifest, and how \
            the manifest's lines are folded",
    rule: Rule::Text(Text {
        applies: |name| name == b"META-INF/MANIFEST.MF",
        canonical,
    }),
};

/// Lower case; JAR File Specification §Main Attributes, and what ant, Maven, Gradle and bnd add.
const BOOKKEEPING: [&str; 12] = [
    "ant-version",
    "archiver-version",
    "bnd-lastmodified",
    "build-date",
    "build-jdk",
    "build-jdk-spec",
    "build-timestamp",
    "built-by",
    "built-date",
    "created-by",
    "originally-created-by",
    "tool",
];

fn canonical(_: &Container, manifest: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(manifest).ok()?;
    if text.contains('\0') {
        return None;
    }
    let text = text.replace("\r\n", "\n");
    let text = text.replace("\n ", ""); // a line goes on in the next one
    let mut main = true;
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        main &= !line.trim_end_matches('\n').is_empty();
        let name = line
            .split_once(": ")
            .map(|(name, _)| name.to_ascii_lowercase());
        let hidden = name.is_some_and(|name| BOOKKEEPING.contains(&name.as_str()));
        if !(main && hidden) {
            kept.push_str(line);
        }
    }
    Some(kept.into_bytes())
}
