//! Text that is kept for long and seldom read.

use super::filed::Unreadable;

/// A lease at rest. Nearly all of another one is the same text, so what is kept
/// of each is where it differs. A request of another shape is kept as well, and
/// takes more room.
pub(super) const TYPICAL: &[u8] = include_bytes!("typical.json");

/// Folded text (LZ4, with [`TYPICAL`] as dictionary).
#[derive(Clone)]
pub(super) struct Sheet(Box<[u8]>);

impl Sheet {
    pub(super) fn fold(text: &[u8]) -> Self {
        let folded = lz4_flex::block::compress_prepend_size_with_dict(text, TYPICAL);
        Self(folded.into_boxed_slice())
    }

    pub(super) fn unfold(&self) -> Result<Vec<u8>, Unreadable> {
        lz4_flex::block::decompress_size_prepended_with_dict(&self.0, TYPICAL)
            .map_err(Unreadable::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another lease than the typical one: every name, id and time differs.
    fn another() -> String {
        let typical = std::str::from_utf8(TYPICAL).unwrap();
        let digits = |c: char| match c {
            '0'..='8' => char::from(c as u8 + 1),
            '9' => '0',
            other => other,
        };
        typical
            .replace("team-a", "payments")
            .replace("reports", "ledger-writer")
            .chars()
            .map(digits)
            .collect()
    }

    #[test]
    fn another_lease_is_folded_to_less_than_half() {
        let text = another();
        let sheet = Sheet::fold(text.as_bytes());
        assert_eq!(sheet.unfold().unwrap(), text.as_bytes());
        assert!(2 * sheet.0.len() < text.len(), "{} bytes", sheet.0.len());
    }

    #[test]
    fn text_of_any_kind_comes_back() {
        for text in ["", "x", "{\"a\":\"ü\"}"] {
            assert_eq!(
                Sheet::fold(text.as_bytes()).unfold().unwrap(),
                text.as_bytes()
            );
        }
    }
}
