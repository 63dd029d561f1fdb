//! The `testbed` command: what it leaves behind, however it ends.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use keylease_testbed::process::{Child, Spec};
use keylease_testbed::{paths, wait};

const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(20);

/// The processes whose command line names `dir`.
fn processes_of(dir: &Path) -> Result<Vec<String>> {
    let dir = dir.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path().join("cmdline");
        // A process may end meanwhile; not all entries are processes.
        let command = std::fs::read(path).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&dir) {
            found.push(command);
        }
    }
    Ok(found)
}

async fn up(dir: &Path) -> Result<Child> {
    let bed = dir.join("bed");
    let spec = Spec::new(env!("CARGO_BIN_EXE_testbed"))
        .args(["up", "--aws=fake", "--dir"])
        .arg(bed.display().to_string());
    let mut child = Child::spawn("testbed", &spec, &dir.join("testbed.log"))?;
    let alive = || child.check_running();
    wait::until_ok_while("the test bed", START, alive, || async {
        bed.join("ready")
            .exists()
            .then_some(())
            .context("not ready")
    })
    .await?;
    Ok(child)
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_no_process_behind() -> Result<()> {
    if let Some(why) = paths::missing_control_plane() {
        eprintln!("\n*** SKIPPED {}: {why}\n", module_path!());
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    for hard in [false, true] {
        let mut child = up(dir.path()).await?;
        assert!(processes_of(dir.path())?.len() >= 4);
        if hard {
            child.kill_hard()?;
        } else {
            child.terminate()?;
            let status = child.wait_exit(STOP).await?;
            assert!(status.success(), "{status}");
        }
        wait::until("the end of all processes", STOP, || async {
            processes_of(dir.path()).ok()?.is_empty().then_some(())
        })
        .await?;
    }
    Ok(())
}
