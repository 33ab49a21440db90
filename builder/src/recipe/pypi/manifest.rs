//! Reads what a source tree says of itself: pyproject.toml, else setup.cfg and setup.py. Runs in a
//! confined child, and runs nothing of the tree.

use std::os::fd::BorrowedFd;

use toml::{Table, Value};

use super::super::tree_file::{self, TreeFile};
use super::super::{InspectError, InspectRequest};
use super::file_name::is_name;
use super::{BuildSystem, Project};

/// Longest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Longest text of a value that is believed.
const MAX_TEXT: usize = 1024;
/// Most requirements of a build.
const MAX_REQUIREMENTS: usize = 100;
/// What builds a project that names nothing (PEP 517 §source trees).
const DEFAULT_BACKEND: &str = "setuptools.build_meta:__legacy__";

/// What was read, or what is wrong with it, for people.
pub(super) fn read(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
) -> Result<Result<Project, String>, InspectError> {
    let at = |name: &str| match request.subdir.as_str() {
        "" => name.to_owned(),
        subdir => format!("{subdir}/{name}"),
    };
    let path = at("pyproject.toml");
    let pyproject = match tree_file::read(tree, &path, MAX_BYTES)? {
        TreeFile::Read(bytes) => match parse(&bytes) {
            Ok(table) => Some(table),
            Err(what) => return Ok(Err(format!("{path:?} {what}"))),
        },
        TreeFile::Unusable(_) => None,
    };
    let mut setup = Vec::new();
    for name in ["setup.cfg", "setup.py"] {
        if let TreeFile::Read(bytes) = tree_file::read(tree, &at(name), MAX_BYTES)? {
            setup.push((name, bytes));
        }
    }
    if pyproject.is_none() && setup.is_empty() {
        return Ok(Err(format!(
            "there is neither {path:?} nor a setup.py or setup.cfg beside it"
        )));
    }
    let system = match build_system(&pyproject.clone().unwrap_or_default()) {
        Ok(system) => system,
        Err(what) => return Ok(Err(format!("{path:?} {what}"))),
    };
    let (mut name, mut version) = pyproject.as_ref().map_or((None, None), identity);
    if let Some((_, bytes)) = setup.iter().find(|(name, _)| *name == "setup.cfg") {
        let (cfg_name, cfg_version) = setup_cfg(&String::from_utf8_lossy(bytes));
        name = name.or(cfg_name);
        version = version.or(cfg_version);
    }
    Ok(Ok(Project {
        name,
        version,
        system,
    }))
}

fn parse(bytes: &[u8]) -> Result<Table, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    text.parse().map_err(|_| "is not TOML")
}

fn build_system(pyproject: &Table) -> Result<BuildSystem, &'static str> {
    let Some(section) = pyproject.get("build-system") else {
        return Ok(BuildSystem {
            backend: DEFAULT_BACKEND.to_owned(),
            backend_path: Vec::new(),
            requires: vec!["setuptools>=40.8.0".to_owned()],
        });
    };
    let list = |key: &str| match section.get(key) {
        None => Some(Vec::new()),
        Some(Value::Array(values)) if values.len() <= MAX_REQUIREMENTS => {
            values.iter().map(text).collect()
        }
        Some(_) => None,
    };
    let requires = list("requires").ok_or("has an unusable build-system.requires")?;
    let backend_path = list("backend-path").ok_or("has an unusable build-system.backend-path")?;
    let backend = match section.get("build-backend") {
        None => DEFAULT_BACKEND.to_owned(),
        Some(value) => text(value)
            .filter(|backend| is_object(backend))
            .ok_or("has an unusable build-system.build-backend")?,
    };
    Ok(BuildSystem {
        backend,
        backend_path,
        requires,
    })
}

/// A module, perhaps with a path of attributes in it: `a.b:c.d`.
fn is_object(text: &str) -> bool {
    let dotted = |text: &str| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        text.split('.')
            .all(|name| !name.is_empty() && name.chars().all(part))
    };
    match text.split_once(':') {
        Some((module, attributes)) => dotted(module) && dotted(attributes),
        None => dotted(text),
    }
}

/// Name and version, where the tree says them; a dynamic version is said by the tag.
fn identity(pyproject: &Table) -> (Option<String>, Option<String>) {
    let tool = |name: &str| pyproject.get("tool").and_then(|tool| tool.get(name));
    let sections = [pyproject.get("project"), tool("poetry")];
    let dynamic = |section: &&Value| {
        let list = section.get("dynamic").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|v| v.as_str() == Some("version")))
    };
    let of = |key: &str| {
        let mut found = sections.iter().flatten().filter_map(|s| s.get(key));
        found.find_map(text)
    };
    let version =
        if sections.iter().flatten().any(dynamic) || tool("poetry-dynamic-versioning").is_some() {
            None
        } else {
            of("version")
        };
    (of("name").filter(|name| is_name(name)), version)
}

/// The same of `[metadata]` in a setup.cfg. A version that is read from elsewhere is not followed.
fn setup_cfg(content: &str) -> (Option<String>, Option<String>) {
    let mut inside = false;
    let (mut name, mut version) = (None, None);
    for line in content.lines() {
        if line.starts_with('[') {
            inside = line.trim_end() == "[metadata]";
        } else if inside && let Some((key, value)) = line.split_once(['=', ':']) {
            let value = value.trim();
            let usable = !value.is_empty() && value.len() <= MAX_TEXT;
            match key {
                _ if !usable => {}
                _ if key.trim_end() == "name" && is_name(value) => name = Some(value.to_owned()),
                _ if key.trim_end() == "version" && !value.contains(':') => {
                    version = Some(value.to_owned());
                }
                _ => {}
            }
        }
    }
    (name, version)
}

fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let usable = !text.is_empty() && text.len() <= MAX_TEXT && !text.contains(char::is_control);
    usable.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn build_systems_are_read() {
        let system = build_system(&table(
            "[build-system]\nrequires = [\"flit_core<4\"]\nbuild-backend = \"flit_core.buildapi\"\nbackend-path = [\"src\"]",
        ));
        let expect = BuildSystem {
            backend: "flit_core.buildapi".into(),
            backend_path: vec!["src".into()],
            requires: vec!["flit_core<4".into()],
        };
        assert_eq!(system, Ok(expect));
        let default = build_system(&table("")).unwrap();
        assert_eq!(default.backend, DEFAULT_BACKEND);
        for bad in [
            "build-system = 1\nbuild-system.requires = 1",
            "[build-system]\nrequires = \"a\"",
            "[build-system]\nrequires = [1]",
            "[build-system]\nrequires = []\nbuild-backend = \"a; b\"",
            "[build-system]\nrequires = []\nbuild-backend = \"a:b:c\"",
            "[build-system]\nrequires = []\nbackend-path = \".\"",
        ] {
            assert!(
                parse(bad.as_bytes())
                    .and_then(|t| build_system(&t))
                    .is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn name_and_version_are_those_that_stand_there() {
        let some = |a: &str| Some(a.to_owned());
        for (content, name, version) in [
            (
                "[project]\nname = \"a\"\nversion = \"1\"",
                some("a"),
                some("1"),
            ),
            (
                "[project]\nname = \"a\"\ndynamic = [\"version\"]",
                some("a"),
                None,
            ),
            (
                "[tool.poetry]\nname = \"a\"\nversion = \"1\"",
                some("a"),
                some("1"),
            ),
            ("[project]\nname = \"a b\"\nversion = 1", None, None),
            ("project = 1", None, None),
        ] {
            assert_eq!(identity(&table(content)), (name, version), "{content}");
        }
        let cfg = "[other]\nname = x\n[metadata]\nname = a\nversion = attr: a.b\n[x]\nname = y";
        assert_eq!(setup_cfg(cfg), (some("a"), None));
        assert_eq!(setup_cfg("[metadata]\nversion: 1.0"), (None, some("1.0")));
    }
}
