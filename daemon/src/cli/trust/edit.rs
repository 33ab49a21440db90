//! Changes the text of a policy: an operator more or less, a key that follows another, one more who is
//! asked. Comments and all else that stands there stay as they are.
//!
//! All places in a text are found by characters of ASCII, so that every cut is between characters.
//! This knows little of YAML, and does not need to: whoever calls it reads the new text strictly and
//! compares what it means with what was wanted, before a byte is written. What is not written in a way
//! that can be changed here is left to the user, with the lines to write.

use std::collections::BTreeMap;
use std::ops::Range;

use countersign_attest::key::{AnyPublicKey, PublicKey};
use countersign_attest::policy::{Operator, OperatorKey, VerifierKey};
use countersign_attest::time::Timestamp;

/// The policy is written in a way that is not changed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} is written in a way that this program does not change; {remedy}")]
pub(super) struct EditError {
    place: &'static str,
    remedy: String,
}

fn by_hand<T>(place: &'static str, remedy: impl Into<String>) -> Result<T, EditError> {
    Err(EditError {
        place,
        remedy: remedy.into(),
    })
}

/// An operator as it is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name in the policy.
    pub(super) name: String,
    /// What it signs with.
    pub(super) keys: Vec<AnyPublicKey>,
    /// Where its service is.
    pub(super) rebuilder: Option<String>,
    /// Its log.
    pub(super) log: Option<VerifierKey>,
    /// What tells it apart.
    pub(super) attrs: BTreeMap<String, String>,
}

impl Entry {
    /// What it is in a policy that was read.
    pub(super) fn operator(&self) -> Operator {
        let key = |key: &AnyPublicKey| OperatorKey {
            key: *key,
            from: None,
            until: None,
            revoked: None,
        };
        Operator {
            keys: self.keys.iter().map(key).collect(),
            rebuilder: self.rebuilder.clone(),
            log: self.log.clone(),
            attributes: self.attrs.clone(),
            publishes: Vec::new(),
            revoked: None,
        }
    }

    fn lines(&self, indent: usize) -> String {
        let (outer, inner) = (" ".repeat(indent), " ".repeat(indent + 2));
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|key| quoted(&key.to_string()))
            .collect();
        let mut text = format!(
            "{outer}{}:\n{inner}keys: [{}]\n",
            self.name,
            keys.join(", ")
        );
        if let Some(address) = &self.rebuilder {
            text.push_str(&format!("{inner}rebuilder: {}\n", quoted(address)));
        }
        if let Some(log) = &self.log {
            text.push_str(&format!("{inner}log: {}\n", quoted(&log.to_string())));
        }
        if !self.attrs.is_empty() {
            let attrs = self.attrs.iter();
            let attrs = attrs.map(|(name, text)| format!("{name}: {}", quoted(text)));
            let attrs: Vec<String> = attrs.collect();
            text.push_str(&format!("{inner}attrs: {{ {} }}\n", attrs.join(", ")));
        }
        text
    }
}

/// A string as YAML reads it back, whatever is in it: JSON's form is one of YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A policy that asks the first operator.
pub(super) fn fresh(entry: &Entry) -> String {
    format!(
        "# Whom you trust to rebuild, and how many of them must agree. `countersign trust` adds operators and\n\
         # leaves the rest to you; `countersign policy check` says whether it holds.\n\
         version: 1\n\
         operators:\n{}\
         rules:\n  \
         # mode: warn, because a rule that enforces asks only operators with a log; the answer is the same.\n  \
         - scope: default\n    mode: warn\n    require: {{ k: 1, of: [{}] }}\n    view: best-effort\n",
        entry.lines(2),
        entry.name
    )
}

/// Adds an operator, after those that are there.
pub(super) fn add(text: &str, entry: &Entry) -> Result<String, EditError> {
    let text = whole_lines(text);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some((start, block)) = section(&lines, "operators") else {
        let remedy = format!("write below operators:\n{}", entry.lines(2));
        return by_hand("operators", remedy);
    };
    let head = lines.get(start).copied().unwrap_or_default();
    let indent = lines.get(block.clone()).unwrap_or_default();
    let indent = indent.iter().find_map(|line| indent_of(line)).unwrap_or(2);
    let before: String = lines.iter().take(start).copied().collect();
    let inside: String = lines.get(block.clone()).unwrap_or_default().concat();
    let after: String = lines.iter().skip(block.end).copied().collect();
    let head = head.replacen("{}", "", 1);
    Ok(format!(
        "{before}{head}{inside}{}{after}",
        entry.lines(indent)
    ))
}

/// Has the default rule ask one operator more.
pub(super) fn ask(text: &str, name: &str) -> Result<String, EditError> {
    let remedy = || format!("write {name} into the list of of: of the rule that is to ask it");
    let Some(rule) = default_rule(text) else {
        return by_hand("the default rule", remedy());
    };
    let Some(list) = flow_lists(text, rule).next() else {
        return by_hand("the default rule", remedy());
    };
    Ok(format!(
        "{}, {name}{}",
        text[..list.end].trim_end(),
        &text[list.end..]
    )) // char boundaries: at ]
}

/// Has the default rule ask for so many.
pub(super) fn require(text: &str, k: usize) -> Result<String, EditError> {
    let remedy = format!("write k: {k} into the rule that is to ask for so many");
    let Some(rule) = default_rule(text) else {
        return by_hand("the default rule", remedy);
    };
    let inside = &text[rule.clone()];
    let Some(at) = inside.find("k:").map(|at| rule.start + at + 2) else {
        return by_hand("the default rule", remedy);
    };
    let digits = |c: char| c.is_ascii_digit() || c == ' ';
    let rest = &text[at..];
    let end = at + rest.find(|c| !digits(c)).unwrap_or(rest.len());
    let blank = if text[at..end].ends_with(' ') {
        " "
    } else {
        ""
    };
    Ok(format!("{} {k}{blank}{}", &text[..at], &text[end..]))
}

/// Takes an operator out, and out of every rule.
pub(super) fn remove(text: &str, name: &str) -> Result<String, EditError> {
    let text = whole_lines(text);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some(entry) = entry_lines(&lines, name) else {
        return by_hand("the operator", format!("take {name} out of operators"));
    };
    let kept = lines.iter().enumerate();
    let kept = kept.filter(|(index, _)| !entry.contains(index));
    let mut text: String = kept.map(|(_, line)| *line).collect();
    let Some(rules) = rules(&text) else {
        return Ok(text);
    };
    let lists: Vec<Range<usize>> = flow_lists(&text, rules).collect();
    for list in lists.into_iter().rev() {
        let names = text[list.clone()].split(',').map(str::trim);
        let others: Vec<&str> = names.filter(|other| unquoted(other) != name).collect();
        if others.len() != text[list.clone()].split(',').count() {
            text.replace_range(list, &others.join(", "));
        }
    }
    Ok(text)
}

/// Has a key end and another one begin at some moment.
pub(super) fn rotate(
    text: &str,
    old: &PublicKey,
    new: &PublicKey,
    from: Timestamp,
) -> Result<String, EditError> {
    let next = format!("{{ key: \"{new}\", from: \"{from}\" }}");
    let remedy = format!("write until: \"{from}\" at {old}, and beside it {next}");
    let old_text = old.to_string();
    let Some(key) = only_occurrence(text, &old_text) else {
        return by_hand("the key", remedy);
    };
    let key = with_quotes(text, key);
    let line_start = text[..key.start].rfind('\n').map_or(0, |at| at + 1);
    let (place, last) = if text[line_start..key.start].trim_end().ends_with("key:") {
        let open = text[line_start..key.start]
            .rfind('{')
            .map(|at| line_start + at);
        let close = text[key.end..].find('}').map(|at| key.end + at);
        let (Some(open), Some(close)) = (open, close) else {
            return by_hand("the key", remedy);
        };
        let terms = text[open + 1..close].trim().trim_end_matches(',');
        if terms.contains("until") || terms.contains('\n') || terms.contains('{') {
            return by_hand("the key", remedy);
        }
        (open..close + 1, format!("{{ {terms}, until: \"{from}\" }}"))
    } else {
        (key, format!("{{ key: \"{old}\", until: \"{from}\" }}"))
    };
    let before = &text[line_start..place.start];
    let between = if before.trim_start() == "- " {
        format!("\n{before}")
    } else {
        ", ".to_owned()
    };
    let (head, tail) = (&text[..place.start], &text[place.end..]);
    Ok(format!("{head}{last}{between}{next}{tail}"))
}

/// Says what an operator's log is.
pub(super) fn log(
    text: &str,
    name: &str,
    old: Option<&VerifierKey>,
    new: &VerifierKey,
) -> Result<String, EditError> {
    let text = whole_lines(text);
    let new_text = quoted(&new.to_string());
    let remedy = format!("write log: {new_text} at {name}");
    if let Some(old) = old {
        let Some(found) = only_occurrence(&text, &old.to_string()) else {
            return by_hand("the log", remedy);
        };
        let found = with_quotes(&text, found);
        return Ok(format!(
            "{}{new_text}{}",
            &text[..found.start],
            &text[found.end..]
        ));
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let entry = entry_lines(&lines, name).filter(|entry| entry.len() > 1);
    let Some(entry) = entry else {
        return by_hand("the operator", remedy);
    };
    let inside = lines.get(entry.start + 1..entry.end).unwrap_or_default();
    let indent = inside.iter().find_map(|line| indent_of(line)).unwrap_or(4);
    let line = format!("{}log: {new_text}\n", " ".repeat(indent));
    let head: String = lines.iter().take(entry.start + 1).copied().collect();
    let tail: String = lines.iter().skip(entry.start + 1).copied().collect();
    Ok(format!("{head}{line}{tail}"))
}

fn whole_lines(text: &str) -> String {
    let mut text = text.to_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// How far a line is indented; `None` for one that says nothing.
fn indent_of(line: &str) -> Option<usize> {
    let content = line.trim_start_matches(' ');
    let says_nothing = content.trim().is_empty() || content.starts_with('#');
    (!says_nothing).then(|| line.len() - content.len())
}

/// The line of a key at the top, and the lines below it that are its value, where that is a block.
fn section(lines: &[&str], key: &str) -> Option<(usize, Range<usize>)> {
    let head = format!("{key}:");
    let start = lines.iter().position(|line| line.starts_with(&head))?;
    let rest = lines.get(start)?.get(head.len()..)?.trim();
    let is_block = rest.is_empty() || rest.starts_with('#') || rest == "{}";
    is_block.then(|| (start, start + 1..end_of_block(lines, start, 0)))
}

/// Where the lines end that are indented deeper than this one; what says nothing and stands before the
/// next key is not theirs.
fn end_of_block(lines: &[&str], start: usize, indent: usize) -> usize {
    let mut end = start + 1;
    for (index, line) in lines.iter().enumerate().skip(start + 1) {
        match indent_of(line) {
            None => {}
            Some(deeper) if deeper > indent => end = index + 1,
            Some(_) => break,
        }
    }
    end
}

/// The lines of an operator.
fn entry_lines(lines: &[&str], name: &str) -> Option<Range<usize>> {
    let (_, block) = section(lines, "operators")?;
    let indent = lines.get(block.clone())?;
    let indent = indent.iter().find_map(|line| indent_of(line))?;
    let is_head = |line: &&str| {
        let key = line.trim_start().split(':').next().unwrap_or_default();
        indent_of(line) == Some(indent) && unquoted(key.trim()) == name
    };
    let start = block.start + lines.get(block.clone())?.iter().position(is_head)?;
    Some(start..end_of_block(lines, start, indent))
}

fn unquoted(text: &str) -> &str {
    let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

/// The text below `rules:`.
fn rules(text: &str) -> Option<Range<usize>> {
    let mut at = 0;
    let mut start = None;
    for line in text.split_inclusive('\n') {
        let top = indent_of(line) == Some(0) && !line.starts_with('-');
        match start {
            None if line.starts_with("rules:") => start = Some(at),
            Some(start) if top => return Some(start..at),
            None | Some(_) => {}
        }
        at += line.len();
    }
    start.map(|start| start..text.len())
}

/// The text of the default rule from its scope on.
fn default_rule(text: &str) -> Option<Range<usize>> {
    let rules = rules(text)?;
    let inside = &text[rules.clone()];
    let found = ["scope: default", "scope: \"default\""];
    let start = found.iter().find_map(|words| inside.find(words))?;
    let next = inside[start + 1..].find("scope:").map(|at| start + 1 + at);
    let end = next.unwrap_or(inside.len());
    Some(rules.start + start..rules.start + end)
}

/// The insides of the lists `of: […]` in a part of a text; none of a comment.
fn flow_lists(text: &str, part: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut at = part.start;
    std::iter::from_fn(move || {
        loop {
            let found = text[at..part.end].find("of: [")? + at;
            let inside = found + "of: [".len();
            let end = inside + text[inside..part.end].find(']')?;
            at = end;
            let line_start = text[..found].rfind('\n').map_or(0, |start| start + 1);
            if !text[line_start..found].contains('#') {
                return Some(inside..end);
            }
        }
    })
}

/// Where a text stands, if it stands in one place, comments aside.
fn only_occurrence(text: &str, wanted: &str) -> Option<Range<usize>> {
    let outside_comments = |at: &usize| {
        let line_start = text[..*at].rfind('\n').map_or(0, |start| start + 1);
        !text[line_start..*at].contains('#')
    };
    let mut found = text.match_indices(wanted).map(|(at, _)| at);
    let mut found = found.by_ref().filter(outside_comments);
    let at = found.next()?;
    found.next().is_none().then(|| at..at + wanted.len())
}

/// The same with the quotes around it.
fn with_quotes(text: &str, part: Range<usize>) -> Range<usize> {
    let quote = |c: Option<char>| c.filter(|c| matches!(c, '"' | '\''));
    let before = quote(text[..part.start].chars().next_back());
    let after = quote(text[part.end..].chars().next());
    if before.is_some() && before == after {
        part.start - 1..part.end + 1
    } else {
        part
    }
}

#[cfg(test)]
mod tests;
