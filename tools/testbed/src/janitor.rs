//! The process that tidies up after this one: temporary folders are removed when
//! it has ended, also by `kill -9`, and also those of parts that live to its end,
//! which nobody drops.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow};
use parking_lot::Mutex;

/// In a folder that is to stay.
pub(crate) const KEPT: &str = "kept";

/// Reads folders up to the end of its input, which is the end of whoever writes
/// there. Servers that are killed in the same moment may still write once.
const SCRIPT: &str = r#"
while read -r dir; do set -- "$@" "$dir"; done
for dir; do
    [ -e "$dir/kept" ] || rm -rf -- "$dir" || { sleep 1; rm -rf -- "$dir"; }
done"#;

/// A shell that waits for the end of this process.
#[derive(Debug)]
struct Janitor {
    input: ChildStdin,
    // It outlives us: nobody waits for it.
    _shell: Child,
}

static JANITOR: LazyLock<Result<Mutex<Janitor>>> =
    LazyLock::new(|| Janitor::start().map(Mutex::new));

/// Removes this folder at the end of this process, if it is still there and has
/// no file [`KEPT`].
pub(crate) fn remove_at_the_end(dir: &Path) -> Result<()> {
    let janitor = JANITOR.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    janitor.lock().remember(dir)
}

impl Janitor {
    fn start() -> Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal is not for it.
            .process_group(0)
            .spawn()
            .context("starting the shell that tidies up")?;
        let input = shell.stdin.take().context("a shell without an input")?;
        Ok(Self {
            input,
            _shell: shell,
        })
    }

    fn remember(&mut self, dir: &Path) -> Result<()> {
        writeln!(self.input, "{}", dir.display())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait;

    #[tokio::test]
    async fn folders_go_at_the_end_unless_they_are_kept() -> Result<()> {
        let all = tempfile::tempdir()?;
        let (kept, goes) = (all.path().join("kept one"), all.path().join("goes"));
        let mut janitor = Janitor::start()?;
        for dir in [&kept, &goes] {
            std::fs::create_dir(dir)?;
            janitor.remember(dir)?;
        }
        std::fs::write(kept.join(KEPT), "")?;
        std::fs::write(goes.join("a file"), "")?;
        drop(janitor);
        wait::until("the folder to go", Duration::from_secs(20), || async {
            (!goes.exists()).then_some(())
        })
        .await?;
        assert!(kept.exists());
        Ok(())
    }
}
