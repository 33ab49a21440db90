//! Programs of Go modules: `go build -trimpath` of the package that has the program's name.
//!
//! No registry of Go is served, so a module has no dependencies or holds them itself (`vendor`).

use std::os::fd::BorrowedFd;

use countersign_attest::verdict::Reason;
use serde::{Deserialize, Serialize};

use super::super::tree_file::{self, TreeFile};
use super::super::{InspectError, InspectRequest, Next};
use super::evidence::folders_with;

/// Most packages of programs.
const MOST: usize = 200;

/// A Go module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoModule {
    /// Its path, as `go.mod` has it.
    pub path: String,
    /// Whether it names other modules.
    pub requires: bool,
    /// Whether those are in the tree.
    pub vendored: bool,
    /// Folders of packages that are programs, from the module's; empty for that itself.
    pub programs: Vec<String>,
}

/// Reads a go.mod and looks for programs.
pub(super) fn module(
    text: &str,
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
) -> Result<Option<GoModule>, InspectError> {
    let word = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let mut lines = text.lines().map(str::trim);
    let Some(path) = lines.find_map(|line| word(line.strip_prefix("module ")?)) else {
        return Ok(None);
    };
    let vendored = match request.subdir.as_str() {
        "" => "vendor/modules.txt".to_owned(),
        folder => format!("{folder}/vendor/modules.txt"),
    };
    let vendored = tree_file::read(tree, &vendored, 16 << 20)?;
    Ok(Some(GoModule {
        path,
        requires: text.lines().any(|line| line.trim().starts_with("require")),
        vendored: matches!(vendored, TreeFile::Read(_)),
        programs: folders_with(tree, &request.subdir, MOST, is_of_program)?,
    }))
}

fn is_of_program(path: &str, text: &str) -> bool {
    let of_others = |part: &str| matches!(part, "vendor" | "testdata") || part.starts_with('_');
    let is_main = |line: &str| line.split_whitespace().eq(["package", "main"]);
    !path.ends_with("_test.go") && !path.split('/').any(of_others) && text.lines().any(is_main)
}

/// The version in a program's build information: `go1.22.1`.
pub(super) fn compiler(information: &[u8]) -> Option<String> {
    let at = information.windows(3).position(|part| part == b"go1")?;
    let version = information.get(at..)?.iter();
    let version = version.take_while(|b| b.is_ascii_alphanumeric() || **b == b'.');
    String::from_utf8(version.copied().take(20).collect()).ok()
}

/// What builds the program of this name, and where it puts it.
pub(super) fn build(module: &GoModule, name: &str, output: &str) -> Result<Vec<String>, Next> {
    let cannot = |reason, detail: &str| {
        Err(Next::Cannot {
            reason,
            detail: detail.to_owned(),
        })
    };
    if module.requires && !module.vendored {
        let detail =
            "go.mod names other modules, which no registry of ours serves and the tree has not";
        return cannot(Reason::DependenciesElsewhere, detail);
    }
    // the module's path may end in its major version
    let major = |part: &&str| part.starts_with('v') && part.get(1..).is_some_and(is_number);
    let mut parts = module.path.rsplit('/').filter(|part| !major(part));
    let of_module = parts.next().unwrap_or_default();
    let called = |folder: &&String| match folder.rsplit('/').next() {
        Some("") | None => of_module == name,
        Some(last) => last == name,
    };
    let program = module.programs.iter().find(called);
    let only = match module.programs.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let Some(folder) = program.or(only) else {
        return cannot(
            Reason::NoRecipe,
            "no package of the module is a program of that name",
        );
    };
    let folder = format!("./{folder}");
    let argv = ["go", "build", "-trimpath", "-o", output, &folder];
    Ok(argv.map(str::to_owned).to_vec())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
