//! Writes a command so that a reader can paste it into a shell and nothing else happens than what it
//! says, whatever strangers put into its arguments.

use std::fmt::Write as _;

use countersign_attest::escape::{is_plain, is_printable};

/// A command line of these words.
pub(crate) fn command(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// One word. Characters that cannot be seen need `$'…'`, which bash, zsh and newer shells know.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_@%+=:,./".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    if is_printable(word) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let mut text = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => text.extend(['\\', c]),
            c if is_plain(c) => text.push(c),
            c => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    // three octal digits end by themselves, unlike hexadecimal ones
                    let _ = write!(text, "\\{byte:03o}"); // writing to a String cannot fail
                }
            }
        }
    }
    text + "'"
}

/// A word that a program takes for a file and never for an option.
pub(crate) fn as_file(name: &str) -> String {
    if name.starts_with('-') {
        format!("./{name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_back_every_word() {
        for word in [
            "v1.0.0",
            "",
            "a b",
            "it's",
            "$(touch x)",
            "`id`",
            "a;b&c|d>e",
            "!history",
            "\"",
            "\\",
            "~root",
            "*",
            "<script>",
            "a\nb",
            "\u{202e}'\\x",
            "\u{1b}7",
            "é",
        ] {
            let line = format!("printf %s {}", command(&[word]));
            let output = Command::new("bash").arg("-c").arg(&line).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word, "{line}");
            assert!(is_printable(&line), "{line:?}");
        }
    }

    #[test]
    fn words_stay_apart_and_files_are_no_options() {
        assert_eq!(command(&["a", "b c", "-d"]), "a 'b c' -d");
        assert_eq!(as_file("--key"), "./--key");
        assert_eq!(as_file("a-b"), "a-b");
    }
}
