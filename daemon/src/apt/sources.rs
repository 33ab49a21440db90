//! Which archives are asked: what sources.list(5) can say, as far as a private state of apt takes it.

use std::collections::BTreeSet;
use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::said::{Paragraph, paragraphs};
use super::{AptError, read};

/// Longest time for asking apt what it is configured for.
const TIME: Duration = Duration::from_secs(180);
/// Most bytes of that answer, and of a file that it names.
const BYTES: u64 = 4 << 20;

/// Archives, suites and the keyrings that their signatures must come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    addresses: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// A keyring's path, or an armored key; absent where apt's own trusted keys are meant.
    signed_by: Option<String>,
}

impl Sources {
    /// Reads stanzas of sources.list(5) in either format.
    ///
    /// # Errors
    /// The problem, for an error about the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let one_line = |line: &str| {
            let line = line.trim();
            line.starts_with("deb ") || line.starts_with("deb-src ")
        };
        let mut entries = Vec::new();
        if text.lines().any(one_line) {
            for line in text.lines().map(str::trim) {
                if line.is_empty() || line.starts_with('#') || line.starts_with("deb-src ") {
                    continue;
                }
                entries.push(Entry::of_line(line)?);
            }
        } else {
            for paragraph in paragraphs(text) {
                entries.extend(Entry::of_paragraph(&paragraph)?);
            }
        }
        if entries.is_empty() {
            return Err("it names no archive".to_owned());
        }
        Ok(Self(entries))
    }

    /// The same archives with another release of the distribution: `bookworm-security` becomes
    /// `trixie-security` where `trixie` is asked for.
    #[must_use]
    pub(crate) fn of_release(&self, codename: &str) -> Self {
        let entries = self.0.iter().map(|entry| {
            let mut entry = entry.clone();
            for suite in &mut entry.suites {
                let rest = suite.find('-').map_or("", |at| &suite[at..]);
                *suite = format!("{codename}{rest}");
            }
            entry
        });
        Self(entries.collect())
    }
}

/// A release's name without what stands for its updates: `bookworm` for `bookworm-security`.
#[must_use]
pub(crate) fn release_of(suite: &str) -> &str {
    suite.split('-').next().unwrap_or(suite)
}

/// As a `.sources` file of ours: binary packages and sources, enabled, and never trusted without a
/// signature.
impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "Types: deb deb-src")?;
            writeln!(f, "URIs: {}", entry.addresses.join(" "))?;
            writeln!(f, "Suites: {}", entry.suites.join(" "))?;
            writeln!(f, "Components: {}", entry.components.join(" "))?;
            if let Some(signed_by) = &entry.signed_by {
                // the lines of an embedded key go on with a space
                writeln!(f, "Signed-By: {}", signed_by.replace('\n', "\n "))?;
            }
        }
        Ok(())
    }
}

impl Entry {
    fn of_line(line: &str) -> Result<Self, String> {
        let rest = line
            .strip_prefix("deb ")
            .ok_or_else(|| format!("{line:?} is no line of sources.list"))?
            .trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest
                .split_once(']')
                .ok_or_else(|| format!("{line:?} has options without an end"))?,
            None => ("", rest),
        };
        let signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="));
        let mut words = rest.split_whitespace().map(str::to_owned);
        let entry = Self {
            addresses: words.next().into_iter().collect(),
            suites: words.next().into_iter().collect(),
            components: words.collect(),
            signed_by: signed_by.map(str::to_owned),
        };
        entry.checked()
    }

    /// `None` for an entry that is disabled or of sources only.
    fn of_paragraph(paragraph: &Paragraph) -> Result<Option<Self>, String> {
        let words = |name: &str| -> Vec<String> {
            let value = paragraph.field(name).unwrap_or_default();
            value.split_whitespace().map(str::to_owned).collect()
        };
        let types = words("types");
        let enabled = paragraph.field("enabled").unwrap_or("yes");
        let off = matches!(enabled, "no" | "false" | "without" | "off" | "disable");
        if off || !(types.is_empty() || types.iter().any(|kind| kind == "deb")) {
            return Ok(None);
        }
        let entry = Self {
            addresses: words("uris"),
            suites: words("suites"),
            components: words("components"),
            signed_by: paragraph.field("signed-by").map(str::to_owned),
        };
        entry.checked().map(Some)
    }

    fn checked(self) -> Result<Self, String> {
        let plain = |word: &String| {
            let safe = |c: char| c.is_ascii_alphanumeric() || "-_.+~/".contains(c);
            !word.is_empty() && word.chars().all(safe)
        };
        let address = |text: &String| {
            let url: Option<url::Url> = text.parse().ok();
            url.is_some_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none()
            })
        };
        if self.addresses.is_empty() || !self.addresses.iter().all(address) {
            return Err(format!(
                "{:?} are not http or https addresses without credentials",
                self.addresses
            ));
        }
        if self.suites.is_empty() || !self.suites.iter().all(plain) {
            return Err(format!("{:?} are not names of suites", self.suites));
        }
        if self.components.is_empty() || !self.components.iter().all(plain) {
            return Err(format!("{:?} are not names of components", self.components));
        }
        Ok(self)
    }
}

/// Reads what the host's apt is configured for: apt names the files, and says which entries count.
///
/// # Errors
/// When apt cannot be asked, or is configured for nothing that a private state can take.
pub(crate) async fn discover() -> Result<Sources, AptError> {
    const PROGRAM: &str = "apt-get";
    const QUESTION: [&str; 4] = [
        "indextargets",
        "--format",
        "$(SOURCESENTRY)",
        "Created-By: Packages",
    ];
    let answer = |problem: String| AptError::Answer {
        program: PROGRAM,
        question: QUESTION.join(" "),
        problem,
    };
    let mut child = Command::new(PROGRAM)
        .args(QUESTION)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| AptError::Start {
            program: PROGRAM,
            source,
        })?;
    let mut text = String::new();
    let stdout = child.stdout.take();
    let run = async {
        read(stdout, BYTES, &mut text).await?;
        child.wait().await
    };
    match timeout(TIME, run).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(_)) => return Err(answer("it failed".to_owned())),
        Ok(Err(error)) => return Err(answer(error.to_string())),
        Err(_) => return Err(answer(format!("no answer in {} s", TIME.as_secs()))),
    }
    let files: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.rsplit_once(':'))
        .map(|(file, _)| file)
        .collect();
    let mut entries = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|source| AptError::Folder {
            path: file.into(),
            source,
        })?;
        let found =
            Sources::parse(&text).map_err(|problem| answer(format!("{file}: {problem}")))?;
        entries.extend(found.0);
    }
    if entries.is_empty() {
        return Err(answer("no archive is configured".to_owned()));
    }
    Ok(Sources(entries))
}
