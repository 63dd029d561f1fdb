//! One line on stderr that shows what is waited for, on a terminal only.

use std::io::{self, IsTerminal, Write};

use super::paint::one_line;

/// Longest line: one that wraps could not be overwritten.
const WIDTH: usize = 78;

/// The line. It is wiped when dropped.
pub(super) struct Progress {
    shown: bool,
    last: String,
}

impl Progress {
    /// A line if stderr is a terminal that can overwrite one, else nothing.
    pub fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Self {
            shown: io::stderr().is_terminal() && !dumb,
            last: String::new(),
        }
    }

    /// Shows this instead of what stood there.
    pub fn show(&mut self, text: &str) {
        if !self.shown || self.last == text {
            return;
        }
        text.clone_into(&mut self.last);
        let line: String = one_line(text).chars().take(WIDTH).collect();
        put(&format!("\r\x1b[K{line}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown && !self.last.is_empty() {
            put("\r\x1b[K");
        }
    }
}

fn put(text: &str) {
    let mut err = io::stderr().lock();
    // Nothing is lost with a progress line.
    let _ = err.write_all(text.as_bytes());
    let _ = err.flush();
}
