//! What apt prints, read into values. Strangers wrote the parts of it that came with packages.

use std::collections::BTreeMap;

use countersign_attest::digest::Sha256;
use url::Url;

/// Fields of one package, by their names in lower case (Debian policy §5.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paragraph {
    fields: BTreeMap<String, String>,
}

impl Paragraph {
    /// A field's value; the lines of a folded one are separated by newlines.
    #[must_use]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// All fields.
    #[must_use]
    pub(crate) fn fields(&self) -> BTreeMap<String, String> {
        self.fields.clone()
    }

    /// Name and version of the source package: those of the binary one, where it says nothing else.
    #[must_use]
    pub(crate) fn source(&self) -> Option<(&str, &str)> {
        let (own, version) = (self.field("package")?, self.field("version")?);
        let Some(source) = self.field("source") else {
            return Some((own, version));
        };
        match source.split_once(" (") {
            Some((name, rest)) => Some((name, rest.strip_suffix(')')?)),
            None => Some((source, version)),
        }
    }
}

/// Reads paragraphs that are separated by empty lines.
pub(super) fn paragraphs(text: &str) -> Vec<Paragraph> {
    let mut all = Vec::new();
    let mut current = Paragraph::default();
    let mut last: Option<String> = None;
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            if !current.fields.is_empty() {
                all.push(std::mem::take(&mut current));
            }
            last = None;
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = last.as_ref().and_then(|name| current.fields.get_mut(name)) {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if line.starts_with('#') {
            // a comment
        } else if let Some((name, value)) = line.split_once(':') {
            let name = name.to_ascii_lowercase();
            current.fields.insert(name.clone(), value.trim().to_owned());
            last = Some(name);
        }
    }
    all
}

/// The names of essential packages in the index of a whole distribution.
pub(super) fn essential(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(package) = line.strip_prefix("Package: ") {
            name = package.trim();
        } else if line == "Essential: yes" && !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
    }
    found
}

/// A file of the archive (`--print-uris`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uri {
    /// Where it is.
    pub(crate) url: Url,
    /// Its name, with a colon of the version as `%3a`.
    pub(crate) file_name: String,
    /// Its digest, from the signed index.
    pub(crate) sha256: Sha256,
}

impl Uri {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (url, rest) = line.strip_prefix('\'')?.split_once("' ")?;
        let mut words = rest.split(' ');
        let file_name = words.next()?;
        let _size = words.next()?;
        let digest = words.next()?.strip_prefix("SHA256:")?;
        Some(Self {
            url: url.parse().ok()?,
            file_name: file_name.to_owned(),
            sha256: digest.parse().ok()?,
        })
    }
}

/// A line of `apt-cache madison`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The version.
    pub(crate) version: String,
    /// The archive's address.
    pub(crate) archive: String,
    /// The suite.
    pub(crate) suite: String,
    /// Whether it is the source package.
    pub(crate) is_source: bool,
}

impl Listed {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split(" | ").map(str::trim);
        let (_, version, place) = (columns.next()?, columns.next()?, columns.next()?);
        let mut words = place.split(' ');
        let (archive, suite) = (words.next()?, words.next()?);
        Some(Self {
            version: version.to_owned(),
            archive: archive.trim_end_matches('/').to_owned(),
            suite: suite.split('/').next()?.to_owned(),
            is_source: words.next_back() == Some("Sources"),
        })
    }
}

/// What apt complained about: its errors and what it says of them in its answer, else its warnings.
pub(super) fn complaint(text: &str, answer: &str) -> String {
    let unmet = answer.lines().map(str::trim);
    let unmet: Vec<&str> = unmet.filter(|line| line.contains("epends: ")).collect();
    for kind in ["E: ", "W: "] {
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(kind)).collect();
        if !lines.is_empty() {
            return lines
                .into_iter()
                .chain(unmet)
                .collect::<Vec<_>>()
                .join("; ");
        }
    }
    "it failed and does not say why".to_owned()
}
