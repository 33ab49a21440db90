//! Shows text of strangers so that everything in it can be seen.
//!
//! Escaping for HTML is for the templates; this is about characters that a reader does not see, or
//! that change how the rest is seen: controls, direction marks, joiners, blanks that are not a space.

use std::fmt::{self, Write as _};

/// Characters that count as letters or symbols and show nothing.
const BLANK: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];

/// Text of a stranger. Only its [`fmt::Display`] comes out, with `\u{…}` for what cannot be seen and
/// `\\` for a backslash, so that two texts never look the same by escaping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visible<'a>(pub(crate) &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c == '\\' {
                f.write_str("\\\\")?;
            } else if is_visible(c) {
                f.write_char(c)?;
            } else {
                write!(f, "{}", c.escape_unicode())?;
            }
        }
        Ok(())
    }
}

/// Whether a character shows something, in its own place.
pub(crate) fn is_visible(c: char) -> bool {
    // escape_debug leaves alone what is printable, and escapes marks that sit on their neighbour
    matches!(c, '"' | '\'' | '\\') || (c.escape_debug().len() == 1 && !BLANK.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        for (text, expect) in [
            ("v1.0.0", "v1.0.0"),
            ("it's \"é\" 中文 <b>", "it's \"é\" 中文 <b>"),
            ("a\\b", "a\\\\b"),
            ("a\nb\u{1b}[2J\0", "a\\u{a}b\\u{1b}[2J\\u{0}"),
            ("gpj\u{202e}exe", "gpj\\u{202e}exe"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
            ("a\u{200b}b\u{feff}\u{ad}", "a\\u{200b}b\\u{feff}\\u{ad}"),
            ("a\u{a0}b\u{3164}\u{2800}", "a\\u{a0}b\\u{3164}\\u{2800}"),
            ("e\u{301}", "e\\u{301}"),
            ("\u{2028}\u{e000}", "\\u{2028}\\u{e000}"),
            ("\u{e0041}\u{fe0f}", "\\u{e0041}\\u{fe0f}"),
        ] {
            assert_eq!(Visible(text).to_string(), expect);
        }
    }
}
