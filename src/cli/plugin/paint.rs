//! Output: colours for people only, text that cannot command the terminal, and
//! writing that does not panic when the reader has gone.

use std::io::{self, IsTerminal, Write};

use super::error::Failure;
use keylease_api::Phase;

/// What a colour is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Tint {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Broken.
    Bad,
    /// A heading.
    Bold,
}

/// Whether colours are wanted.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Paint(bool);

impl Paint {
    /// For stdout: on a terminal, and never with NO_COLOR (no-color.org).
    pub fn stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self(io::stdout().is_terminal() && !refused)
    }

    /// No colours.
    #[cfg(test)]
    pub fn none() -> Self {
        Self(false)
    }

    /// The text in its colour.
    pub fn tint(self, tint: Tint, text: &str) -> String {
        let code = match tint {
            _ if !self.0 => return text.to_owned(),
            Tint::Plain => return text.to_owned(),
            Tint::Good => "32",
            Tint::Warn => "33",
            Tint::Bad => "31",
            Tint::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The colour of a phase.
pub(super) fn phase_tint(phase: Option<Phase>) -> Tint {
    match phase {
        Some(Phase::Ready | Phase::Rotating) => Tint::Good,
        Some(Phase::Failed) => Tint::Bad,
        Some(Phase::Expired | Phase::Revoked) => Tint::Plain,
        _ => Tint::Warn,
    }
}

/// The word for a phase.
pub(super) fn phase_word(phase: Option<Phase>) -> String {
    phase.map_or_else(|| "-".to_owned(), |p| format!("{p:?}"))
}

/// Text from the cluster in one line, without the control characters that
/// could move the cursor or recolour what the person reads.
pub(super) fn one_line(text: &str) -> String {
    let safe = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(safe).collect()
}

/// Writes data to stdout.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match write(text) {
        // `… | head` has read enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(Failure::new(format!("cannot write to stdout: {e}"))),
        Ok(()) => Ok(()),
    }
}

/// The same, for data that must arrive.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_control_characters_stay_out() {
        assert_eq!(Paint::none().tint(Tint::Bad, "x"), "x");
        assert_eq!(Paint(true).tint(Tint::Bad, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(one_line("a\x1b[2Jb\nc"), "a [2Jb c");
    }
}
