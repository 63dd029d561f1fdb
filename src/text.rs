//! Text of others in bounds.

/// Longest text of somebody else that is passed on, in bytes: an event's note
/// takes no more (events.k8s.io/v1), and a condition need not say more.
pub const MAX: usize = 1024;

/// The text, cut to [`MAX`] bytes where a character ends.
pub fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX)].to_owned()
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
}
