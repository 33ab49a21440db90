//! What the lock file of a tree names that no registry has. Runs in a confined child.

use toml::{Table, Value};

/// Longest lock file that is read.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// Most places that are kept, and the most characters of one.
const MOST: usize = 5;
const MOST_CHARS: usize = 200;

/// The first places of packages that are git repositories, of which cargo wants a checkout before it packs
/// any member. A file that is no lock names none: cargo will say what is wrong with it.
pub(super) fn elsewhere(bytes: &[u8]) -> Vec<String> {
    let table = std::str::from_utf8(bytes).ok().and_then(|t| t.parse().ok());
    let table: Table = table.unwrap_or_default();
    let packages = table.get("package").and_then(Value::as_array);
    let sources = packages.into_iter().flatten();
    let sources = sources.filter_map(|package| package.get("source")?.as_str());
    let git = sources.filter(|source| source.starts_with("git+"));
    let short = |source: &str| source.chars().take(MOST_CHARS).collect();
    git.map(short).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_elsewhere_and_registries_and_members_are_not() {
        let lock = "version = 4\n[[package]]\nname = \"a\"\n[[package]]\nname = \"b\"\n\
            source = \"registry+https://index.example\"\n[[package]]\nname = \"c\"\n\
            source = \"git+https://forge.example/c?tag=v1#abc\"\n";
        let found = elsewhere(lock.as_bytes());
        assert_eq!(found, ["git+https://forge.example/c?tag=v1#abc"]);
        let many = lock.to_owned() + &"[[package]]\nsource = \"git+x\"\n".repeat(10);
        assert_eq!(elsewhere(many.as_bytes()).len(), MOST);
        for bad in [
            &b"\xff"[..],
            b"package = 1",
            b"[[package]]\nsource = 1",
            b"x",
        ] {
            assert!(elsewhere(bad).is_empty());
        }
    }
}
