//! Archives of sources as forges offer them: `git archive` of the release's commit.
//!
//! The `.git` in a sandbox has no contents of files, which lie beside it: they are put in as they are.

use super::super::Situation;
use super::conventions::ours;
use super::evidence::{Conventions, Packing, PublishedKind};
use super::names;
use crate::plan::Step;

/// Puts the contents of the tree's files into a `.git` that lacks them, and packs its commit: with `$1` as
/// the folder, in the format `$2`, into `$3`, through the program `$4` where one packs the tar.
const ARCHIVE: &str = r#"set -e
find . -path ./.git -prune -o -type f -print | git hash-object -w --no-filters --stdin-paths > /dev/null
find . -path ./.git -prune -o -type l -print | while read -r link; do
  printf %s "$(readlink "$link")" | git hash-object -w --stdin > /dev/null
done
mkdir -p "${3%/*}"
folder=$1 format=$2 file=$3
if [ -n "$4" ]; then set -- -c "tar.$2.command=$4"; else set --; fi
git "$@" archive --format="$format" --prefix="$folder/" HEAD > "$file""#;

/// The step that writes the archive of the published file's name into `output`, packed by `program` where
/// one packs the tar.
pub(super) fn step(
    situation: &Situation<'_>,
    found: &Conventions,
    packing: Packing,
    program: Option<&str>,
    output: &str,
) -> Step {
    let name = &situation.published.file_name;
    let usual = names::folders(name, situation.release);
    let theirs = match &found.published {
        PublishedKind::Sources { folder, .. } => Some(folder),
        PublishedKind::NotGiven | PublishedKind::Compiled { .. } | PublishedKind::Other { .. } => {
            None
        }
    };
    // the published file chooses among folders that are usual, and no other
    let chosen = usual.iter().find(|usual| theirs == Some(*usual));
    let folder = chosen.or(usual.first()).map_or("", String::as_str);
    let format = match packing {
        Packing::Tar => "tar",
        Packing::Gzip => "tar.gz",
        Packing::Xz => "tar.xz",
        Packing::Bzip2 => "tar.bz2",
        Packing::Zip => "zip",
    };
    let program = program.unwrap_or_default();
    ours(&["sh", "-c", ARCHIVE, "sh", folder, format, output, program])
}
