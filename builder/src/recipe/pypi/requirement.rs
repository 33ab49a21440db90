//! One requirement of a build backend (PEP 508): its project and its range.

use super::file_name::{is_name, normalized};

/// What must be known of a requirement; its text goes to pip as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement<'a> {
    /// The project's normalized name.
    pub(super) project: String,
    /// The range; `None` where the requirement names an address instead.
    pub(super) range: Option<&'a str>,
}

impl<'a> Requirement<'a> {
    /// Reads `name[extras] range; marker` or `name @ address`; `None` where it is neither.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = text.split(';').next()?.trim();
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let end = text.find(|c| !inner(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end)?;
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(extras) => extras.split_once(']')?.1.trim_start(),
            None => rest,
        };
        is_name(name).then(|| Self {
            project: normalized(name),
            range: (!rest.starts_with('@')).then_some(rest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_taken_apart() {
        for (text, expect) in [
            (
                "flit_core >=3.11,<4",
                Some(("flit-core", Some(">=3.11,<4"))),
            ),
            ("Hatch.VCS", Some(("hatch-vcs", Some("")))),
            (
                "setuptools[core] (>=64) ; python_version < '3'",
                Some(("setuptools", Some("(>=64)"))),
            ),
            ("a @ https://h.example/a.whl", Some(("a", None))),
            ("a[b", None),
            ("--index-url=x", None),
            ("./a", None),
            ("", None),
        ] {
            let expect = expect.map(|(project, range): (&str, _)| Requirement {
                project: project.to_owned(),
                range,
            });
            assert_eq!(Requirement::parse(text), expect, "{text}");
        }
    }
}
