//! Makes text of strangers safe to show on a terminal or a page.
//!
//! File names, tags, logs and member names are chosen by whoever wrote the release. What is not
//! visible, or changes how its surroundings look, is shown as `\u{…}`. HTML is escaped by templates.

use std::fmt::Write as _;

/// Shows text on one line. Doing it twice changes nothing more.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            shown.push(c);
        } else {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c)); // writing to a String cannot fail
        }
    }
    shown
}

/// Whether every character is visible and leaves its surroundings alone.
#[must_use]
pub fn is_printable(text: &str) -> bool {
    text.chars().all(is_plain)
}

/// Whether a character is visible and leaves its surroundings alone. The only blank that does is a
/// space.
#[must_use]
pub const fn is_plain(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'      // controls: terminal escapes start here
        | '\u{ad}' | '\u{34f}' | '\u{61c}'          // soft hyphen, joiner, Arabic letter mark
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // fillers that look like nothing
        | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{2800}'
        | '\u{3000}'                                // blanks that are not a space
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'                   // zero width, direction marks
        | '\u{2028}'..='\u{202e}'                   // line ends, direction overrides
        | '\u{2060}'..='\u{206f}'                   // isolates, invisible operators
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' // tags, variation selectors
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_stays_and_what_is_not_shows() {
        for plain in [
            "left-pad-1.0.0.tgz",
            "größe/文件 (1).txt",
            "",
            "<b>&\\n\\u{7f}",
        ] {
            assert_eq!(printable(plain), plain);
            assert!(is_printable(plain));
        }
        for (hostile, shown) in [
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\nb\r\t", "a\\u{a}b\\u{d}\\u{9}"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
            (
                "a\u{200b}b\u{feff}\u{e0041}",
                "a\\u{200b}b\\u{feff}\\u{e0041}",
            ),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{a0}b\u{3164}\u{2800}", "a\\u{a0}b\\u{3164}\\u{2800}"),
        ] {
            assert!(!is_printable(hostile));
            assert_eq!(printable(hostile), shown);
            assert_eq!(printable(shown), shown);
        }
    }
}
