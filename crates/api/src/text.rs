//! Text of others: in bounds, and on one line. What tenants, AWS and the API
//! server say is quoted in logs, conditions and events; none of it may end a line
//! of a log, steer a terminal or turn the direction of what follows.

use std::borrow::Cow;

/// Longest text of somebody else that is passed on, in bytes: an event's note
/// takes no more (events.k8s.io/v1), and a condition need not say more.
pub const MAX: usize = 1024;

/// The text on one line, cut to [`MAX`] bytes where a character ends.
pub fn cut(text: &str) -> String {
    let text = one_line(text);
    text[..text.floor_char_boundary(MAX)].to_owned()
}

/// Whether a character does something else than being read: controls (line
/// breaks, escape sequences), line and paragraph separators, marks that turn the
/// direction of writing, and what is not seen at all.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text with what is unsafe written out, as Rust writes it: `\n`, `\u{1b}`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| out.extend(c.escape_default()))
}

/// JSON with what is unsafe in its strings written out, as JSON writes it.
pub fn one_line_of_json(json: &str) -> Cow<'_, str> {
    escaped(json, |c, out| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_cut_in_two() {
        let long = "é".repeat(MAX);
        assert_eq!(cut(&long).len(), MAX);
        assert_eq!(cut(&format!("x{long}")).len(), MAX - 1);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn whatever_breaks_a_line_or_hides_is_written_out() {
        for c in [
            '\n', '\r', '\t', '\0', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}',
        ] {
            assert!(is_unsafe(c), "{c:?}");
        }
        for c in [
            '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}',
        ] {
            assert!(is_unsafe(c), "{c:?}");
        }
        let said = "one\ntwo\u{1b}[2J \u{202e}x";
        assert_eq!(one_line(said), "one\\ntwo\\u{1b}[2J \\u{202e}x");
        assert_eq!(
            one_line("Zürich, 開発 – \"fine\""),
            "Zürich, 開発 – \"fine\""
        );
        let json = serde_json::to_string(said).unwrap();
        let safe = one_line_of_json(&json);
        assert!(!safe.contains(is_unsafe), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), said);
    }
}
