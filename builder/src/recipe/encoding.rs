//! The second step, behind every recipe: where an attempt has the published content and only deflate
//! streams are encoded in another way, known encoders are tried as an ordinary last step of a plan.
//!
//! The published file *selects*, from lists that stand here: encoder, level, and each header field of a
//! gzip stream. Nothing is copied from it: a header value that is on no list is not tried. First one
//! plan makes all variants side by side; where one of them has the published digest, a second plan
//! with that variant alone is what counts, and is judged like any other.

use countersign_attest::verdict::Verdict;

use super::{Attempt, Next, Proposal, Situation};
use crate::compare::encoding::Encoding;
use crate::environment::Capabilities;
use crate::plan::{
    Candidate, Encoder, EncodingStep, EnvironmentSpec, Step, ToolVersion, Valued, Variant,
};
use countersign_attest::origin::Origin;

mod trials;

pub use trials::{Trial, TrialResult, trials};

#[cfg(test)]
mod tests;

/// Programs whose versions a plan of the second step pins, beside those of the recipe.
pub const TOOLS: [&str; 4] = ["node", "node-zlib", "python3", "python3-zlib"];

const ENCODERS: [Encoder; 2] = [Encoder::Python3, Encoder::Node];
/// The usual ones first: where not all can be tried, these are.
const LEVELS: [u8; 9] = [9, 6, 1, 2, 3, 4, 5, 7, 8];
/// How many of [`LEVELS`] are tried of a file that is too large for all.
const USUAL: usize = 2;
/// Where the variants are put, beside the source tree's own files.
const FOLDER: &str = ".countersign-encodings";

/// XFL as zlib writes it: nothing, best, fastest.
const EXTRA_FLAGS: [u8; 3] = [0, 2, 4];
/// OS as zlib and others write it: FAT, Unix, Macintosh, NTFS (in two readings), Darwin, unknown.
const SYSTEMS: [u8; 7] = [0, 3, 7, 10, 11, 19, 255];
/// MTIME beside none and the commit's time: what backends write where no time is set (2016-01-01 and
/// 2020-02-02).
const TIMES: [u32; 2] = [1_451_606_400, 1_580_601_600];

const PYTHON3: &str = include_str!("encoding/encode.py");
const NODE: &str = include_str!("encoding/encode.js");

/// What to try after the recipe's own candidates.
pub(super) fn next(situation: &Situation<'_>) -> Next {
    plan_one(situation).map_or(Next::Enough, Next::Try)
}

fn plan_one(situation: &Situation<'_>) -> Option<Box<Proposal>> {
    let base = base(situation.attempts)?;
    let tried: Vec<&Attempt> = second_steps(situation.attempts).collect();
    let (candidate, why) = match tried.as_slice() {
        [] => (
            search(situation, base)?,
            "all but the compressed bytes is equal: every known encoder, side by side",
        ),
        [search] => (
            found(situation, base, search)?,
            "the encoder that gave the published bytes, in its place",
        ),
        _ => return None,
    };
    Some(Proposal::new(candidate, base.way.clone(), why))
}

/// The attempt that the second step goes on from: the first that lacks nothing but the encoding, where
/// none has the very bytes.
fn base(attempts: &[Attempt]) -> Option<&Attempt> {
    let has_bytes = |a: &Attempt| matches!(a.verdict, Verdict::Reproduced | Verdict::Assisted);
    if attempts.iter().any(has_bytes) {
        return None;
    }
    let mut own = attempts.iter().filter(|a| a.candidate.encoding.is_none());
    own.find(|attempt| {
        let is_room = matches!(
            attempt.verdict,
            Verdict::Equivalent | Verdict::Indeterminate
        );
        is_room && attempt.encoding.is_some()
    })
}

fn second_steps(attempts: &[Attempt]) -> impl Iterator<Item = &Attempt> {
    attempts.iter().filter(|a| a.candidate.encoding.is_some())
}

/// All variants side by side.
fn search(situation: &Situation<'_>, base: &Attempt) -> Option<Candidate> {
    let encoding = base.encoding.as_ref()?;
    let header = header(situation, encoding, base)?;
    let encoders = ENCODERS.into_iter();
    let encoders: Vec<Encoder> = encoders
        .filter(|encoder| missing(*encoder, encoding, situation.capabilities).is_none())
        .collect();
    let levels = levels(situation, encoders.len());
    let variant = |encoder: Encoder| {
        levels.iter().map(move |level| Variant {
            encoder,
            level: *level,
        })
    };
    let variants: Vec<Variant> = encoders.into_iter().flat_map(variant).collect();
    candidate(situation, base, &header, variants)
}

/// The variant that has the published bytes, in place.
fn found(situation: &Situation<'_>, base: &Attempt, search: &Attempt) -> Option<Candidate> {
    let encoding = base.encoding.as_ref()?;
    let step = search.candidate.encoding.as_ref()?;
    let outputs = &search.outcomes.first()?.outputs;
    let equal = outputs
        .iter()
        .find(|output| output.digests.sha256 == situation.published.sha256)?;
    let variant = step.variants.iter().find(|v| place(**v) == equal.path)?;
    let header = header(situation, encoding, base)?;
    candidate(situation, base, &header, vec![*variant])
}

/// The base's candidate and one more step for each encoder.
fn candidate(
    situation: &Situation<'_>,
    base: &Attempt,
    header: &[String],
    variants: Vec<Variant>,
) -> Option<Candidate> {
    let mut candidate = base.candidate.clone();
    let output = output(situation, base)?.to_owned();
    // encoders are tools of this machine
    let EnvironmentSpec::Host { tools } = &mut candidate.environment else {
        return None;
    };
    for encoder in ENCODERS {
        let mut levels = Vec::new();
        for variant in variants.iter().filter(|v| v.encoder == encoder) {
            levels.push(variant.level.to_string());
        }
        if levels.is_empty() {
            continue;
        }
        for tool in encoder.tools() {
            pin(tools, situation.capabilities, tool)?;
        }
        let target = match variants.as_slice() {
            [_] => output.clone(),
            _ => format!("{FOLDER}/{}-{{level}}", encoder.program()),
        };
        let mut argv: Vec<&str> = encoder.command().to_vec();
        let levels = levels.join(",");
        let container = if header.is_empty() { "zip" } else { "gzip" };
        argv.extend([container, &output, &target, &levels]);
        argv.extend(header.iter().map(String::as_str));
        candidate.steps.push(Step {
            argv: argv.into_iter().map(ours).collect(),
        });
    }
    if candidate.steps.len() == base.candidate.steps.len() {
        return None;
    }
    if variants.len() > 1 {
        let places = variants.iter().map(|variant| ours(&place(*variant)));
        candidate.outputs.extend(places);
    }
    candidate.encoding = Some(EncodingStep { output, variants });
    candidate.check().is_ok().then_some(candidate)
}

/// The output that stands for the artifact, by the pipeline's own rule.
fn output<'a>(situation: &Situation<'_>, base: &'a Attempt) -> Option<&'a str> {
    let outputs = &base.outcomes.first()?.outputs;
    let named = outputs
        .iter()
        .find(|output| output.file_name() == situation.published.file_name);
    let output = match (named, outputs.as_slice()) {
        (Some(named), _) => named,
        (None, [only]) => only,
        (None, _) => return None,
    };
    Some(&output.path)
}

/// The arguments that say a header, or none for a zip. `None` where a field is on no list of ours.
fn header(situation: &Situation<'_>, encoding: &Encoding, base: &Attempt) -> Option<Vec<String>> {
    let (time, extra_flags, system, name) = match encoding {
        Encoding::Zip => return Some(Vec::new()),
        Encoding::Gzip {
            time,
            extra_flags,
            system,
            name,
        } => (time, extra_flags, system, name),
    };
    let commit = u32::try_from(situation.release.commit_time.unix_seconds()).ok();
    let known_time = *time == 0 || commit == Some(*time) || TIMES.contains(time);
    let known_name = name.as_deref().is_none_or(|name| {
        let file = output(situation, base).and_then(|path| path.rsplit('/').next());
        file.is_some_and(|file| names(file).iter().any(|known| known == name))
    });
    let known =
        known_time && known_name && EXTRA_FLAGS.contains(extra_flags) && SYSTEMS.contains(system);
    known.then(|| {
        let numbers = [*time, u32::from(*extra_flags), u32::from(*system)];
        let numbers = numbers.iter().map(u32::to_string);
        numbers.chain([name.clone().unwrap_or_default()]).collect()
    })
}

/// What a packer that is given this file's name writes into the header.
fn names(file: &str) -> Vec<String> {
    let mut names = vec![file.to_owned()];
    names.extend(file.strip_suffix(".gz").map(str::to_owned));
    names.extend(file.strip_suffix(".tgz").map(|stem| format!("{stem}.tar")));
    names
}

/// All levels, or the usual ones where the variants together would not be collected.
fn levels(situation: &Situation<'_>, encoders: usize) -> &'static [u8] {
    let limits = &situation.hints.limits;
    let files = (encoders * LEVELS.len()) as u64 + 1;
    let size = situation.published.size_bytes.unwrap_or(u64::MAX);
    let room = limits.output_bytes.min(limits.disk_bytes / 2);
    // other levels make larger files, by a quarter at most in what was measured
    let fits = files <= limits.output_files && size.saturating_mul(files * 2) <= room;
    if fits {
        &LEVELS
    } else {
        LEVELS.get(..USUAL).unwrap_or(&LEVELS)
    }
}

fn place(variant: Variant) -> String {
    format!("{FOLDER}/{}-{}", variant.encoder.program(), variant.level)
}

fn pin(tools: &mut Vec<ToolVersion>, capabilities: &Capabilities, name: &str) -> Option<()> {
    if tools.iter().all(|tool| tool.name != name) {
        let found = capabilities.tool(name)?;
        tools.push(ToolVersion {
            name: found.name.clone(),
            version: found.version.clone(),
            origin: Origin::Operator,
        });
    }
    Some(())
}

fn ours(text: &str) -> Valued<String> {
    Valued::new(text.to_owned(), Origin::Source)
}

/// Why an encoder cannot be tried, for people.
fn missing(encoder: Encoder, encoding: &Encoding, capabilities: &Capabilities) -> Option<String> {
    if (encoder, encoding) == (Encoder::Node, &Encoding::Zip) {
        return Some("node is only asked for gzip streams".to_owned());
    }
    let absent = encoder
        .tools()
        .into_iter()
        .find(|tool| capabilities.tool(tool).is_none())?;
    Some(format!("{absent} is not on this machine"))
}

impl Encoder {
    /// The program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Python3 => "python3",
            Self::Node => "node",
        }
    }

    /// The program and its library, as [`Capabilities`] names them.
    const fn tools(self) -> [&'static str; 2] {
        match self {
            Self::Python3 => ["python3", "python3-zlib"],
            Self::Node => ["node", "node-zlib"],
        }
    }

    const fn command(self) -> &'static [&'static str] {
        match self {
            Self::Python3 => &["python3", "-I", "-S", "-B", "-c", PYTHON3],
            Self::Node => &["node", "-e", NODE, "--"],
        }
    }
}
