//! Whether what differs can only have been made by tools that the environment did not have. Pure.
//!
//! A distribution's package does not name its compiler, and the archive keeps only the newest. A tool that
//! is younger than a file cannot have made it: where nothing but compiled programs differ (and the list of
//! sums, which follows), other bytes say nothing against the release. One script, one link, one name more
//! that differs is explained by no compiler, and the whole stays what it is.

use crate::compare::DifferenceKind;
use crate::compare::tree::{Node, NodeKind, State, Tree};

/// How packages begin whose every version compiles or links otherwise. The C library is not among them: it is
/// corrected again and again in a release, and would excuse everything.
const COMPILERS: [&str; 13] = [
    "binutils",
    "clang-",
    "cpp-",
    "fpc",
    "g++-",
    "gcc-",
    "gfortran-",
    "ghc",
    "gnat-",
    "golang-",
    "libstdc++-",
    "llvm-",
    "rustc",
];
/// The list of sums of a Debian package (deb(5)), and where it lies.
const SUMS: (&str, &str) = ("control.tar", "./md5sums");
/// Most packages that are named.
const NAMED: usize = 5;

/// What says that nothing differs but what other compilers made, for people. `younger` are files of packages
/// of the environment that came after the published file.
#[must_use]
pub fn other_compilers(differences: &Tree, younger: &[&str]) -> Option<String> {
    let is_compiler = |file: &&&str| COMPILERS.iter().any(|name| file.starts_with(name));
    let compilers: Vec<&str> = younger.iter().filter(is_compiler).copied().collect();
    if compilers.is_empty() || differences.left_out > 0 {
        return None;
    }
    let mut programs = 0;
    explained(&differences.root, "", &mut programs).then_some(())?;
    let named = compilers.get(..NAMED).unwrap_or(&compilers).join(", ");
    (programs > 0).then(|| {
        format!(
            "nothing differs but {programs} compiled files, and what compiled them here is younger than the \
             published file ({named})"
        )
    })
}

/// Whether all that differs of a node and below it is compiled, or follows from that.
fn explained(node: &Node, above: &str, programs: &mut usize) -> bool {
    match node.state {
        State::Equal => return true,
        State::Metadata => {
            *programs += compiled(node);
            return true;
        }
        State::OnlyPublished | State::OnlyRebuilt => return false,
        State::Content => {}
    }
    if node.left_out > 0 {
        return false;
    }
    let inside = if above.is_empty() && !node.name.is_empty() {
        node.name.as_str() // the member of the package, whatever lies in it
    } else {
        above
    };
    if node.differs.is_empty() {
        return node
            .children
            .iter()
            .all(|child| explained(child, inside, programs));
    }
    let (Some(published), Some(rebuilt)) = (&node.published, &node.rebuilt) else {
        return false;
    };
    let is_file = published.kind == NodeKind::File && rebuilt.kind == NodeKind::File;
    if !is_file || node.differs != [DifferenceKind::Content] || published.mode != rebuilt.mode {
        return false;
    }
    if node.format.as_deref() == Some("elf") {
        *programs += 1;
        return true;
    }
    inside.starts_with(SUMS.0) && node.name == SUMS.1
}

/// How many programs there are whose difference a normalization covers, such as a build id: they are no
/// difference, and still the sums follow from them.
fn compiled(node: &Node) -> usize {
    match (node.state, node.format.as_deref()) {
        (State::Metadata, Some("elf")) => 1,
        (State::Metadata, _) => node.children.iter().map(compiled).sum(),
        (State::Equal | State::Content | State::OnlyPublished | State::OnlyRebuilt, _) => 0,
    }
}

#[cfg(test)]
mod tests {
    use countersign_attest::digest::Sha256;

    use super::*;
    use crate::compare::tree::Facts;

    fn node(name: &str, state: State, children: Vec<Node>) -> Node {
        let side = Facts {
            kind: NodeKind::File,
            size_bytes: 1,
            sha256: Sha256::of(name.as_bytes()),
            mode: Some(0o755),
            target: None,
        };
        Node {
            name: name.into(),
            occurrence: 0,
            state,
            format: None,
            published: Some(side.clone()),
            rebuilt: Some(side),
            differs: Vec::new(),
            metadata: Vec::new(),
            normalizations: Vec::new(),
            first_difference: None,
            findings: Vec::new(),
            children,
            left_out: 0,
        }
    }

    fn file(name: &str, format: Option<&str>, change: impl FnOnce(&mut Node)) -> Node {
        let mut file = node(name, State::Content, Vec::new());
        file.format = format.map(str::to_owned);
        file.differs = vec![DifferenceKind::Content];
        change(&mut file);
        file
    }

    fn program() -> Node {
        file("./usr/bin/x", Some("elf"), |_| {})
    }

    /// A package of which these files differ.
    fn package(control: Vec<Node>, data: Vec<Node>) -> Tree {
        let part = |name: &str, files| {
            let tar = node("", State::Content, files);
            node(name, State::Content, vec![tar])
        };
        let same = node("debian-binary", State::Equal, Vec::new());
        let parts = vec![
            same,
            part("control.tar.xz", control),
            part("data.tar.xz", data),
        ];
        Tree {
            root: node("", State::Content, parts),
            left_out: 0,
        }
    }

    const YOUNGER: [&str; 2] = ["base-files_1_amd64.deb", "gcc-14_14.2.0-19_amd64.deb"];

    #[test]
    fn programs_and_the_sums_that_follow_are_explained_by_a_younger_compiler() {
        let sums = file("./md5sums", None, |_| {});
        let equal = node("./usr/share/x", State::Metadata, Vec::new());
        let tree = package(vec![sums], vec![program(), equal]);
        let words = other_compilers(&tree, &YOUNGER).expect("words");
        assert!(words.contains("1 compiled files"), "{words}");
        assert!(words.contains("gcc-14_14.2.0-19_amd64.deb"), "{words}");
        assert!(!words.contains("base-files"), "{words}");
        assert_eq!(other_compilers(&tree, &YOUNGER[..1]), None);
        let libc = ["libc6-dev_2.41-12+deb13u5_amd64.deb"];
        assert_eq!(other_compilers(&tree, &libc), None);
        assert_eq!(other_compilers(&tree, &[]), None);
    }

    /// A build id is normalized away in the program, and not in what the sums say of it.
    #[test]
    fn sums_that_follow_from_a_build_id_are_explained_too() {
        let sums = || file("./md5sums", None, |_| {});
        let normalized = |format: Option<&str>| {
            let mut program = node("./usr/bin/x", State::Metadata, Vec::new());
            program.format = format.map(str::to_owned);
            let tar = node("", State::Metadata, vec![program]);
            let data = node("data.tar.xz", State::Metadata, vec![tar]);
            let control = node("", State::Content, vec![sums()]);
            let control = node("control.tar.xz", State::Content, vec![control]);
            Tree {
                root: node("", State::Content, vec![control, data]),
                left_out: 0,
            }
        };
        let words = other_compilers(&normalized(Some("elf")), &YOUNGER).expect("words");
        assert!(words.contains("1 compiled files"), "{words}");
        assert_eq!(other_compilers(&normalized(None), &YOUNGER), None);
    }

    #[test]
    fn anything_else_that_differs_is_explained_by_no_compiler() {
        let cases: [(&str, Node); 8] = [
            ("a script", file("./usr/bin/y", None, |_| {})),
            (
                "a mode",
                file("./usr/bin/y", Some("elf"), |n| {
                    n.differs.push(DifferenceKind::Mode);
                }),
            ),
            (
                "a type",
                file("./usr/bin/y", Some("elf"), |n| {
                    n.differs = vec![DifferenceKind::Type];
                }),
            ),
            (
                "a program that is a link here",
                file("./usr/bin/y", Some("elf"), |n| {
                    if let Some(rebuilt) = &mut n.rebuilt {
                        rebuilt.kind = NodeKind::Symlink;
                    }
                }),
            ),
            (
                "a file more",
                file("./usr/bin/y", Some("elf"), |n| {
                    n.state = State::OnlyPublished;
                }),
            ),
            (
                "a file less",
                file("./usr/bin/y", Some("elf"), |n| n.state = State::OnlyRebuilt),
            ),
            ("sums among the files", file("./md5sums", None, |_| {})),
            (
                "what is not listed",
                node("./usr", State::Content, Vec::new()),
            ),
        ];
        for (what, mut other) in cases {
            if what == "what is not listed" {
                other.left_out = 1;
            }
            let tree = package(Vec::new(), vec![program(), other]);
            assert_eq!(other_compilers(&tree, &YOUNGER), None, "{what}");
        }
        let script = file("./postinst", None, |_| {});
        assert_eq!(
            other_compilers(&package(vec![script], vec![program()]), &YOUNGER),
            None
        );
        // sums follow from something
        let sums = file("./md5sums", None, |_| {});
        assert_eq!(
            other_compilers(&package(vec![sums], Vec::new()), &YOUNGER),
            None
        );
        let mut cut = package(Vec::new(), vec![program()]);
        cut.left_out = 1;
        assert_eq!(other_compilers(&cut, &YOUNGER), None);
    }
}
