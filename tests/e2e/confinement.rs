//! What the kernel says of the operator's processes, whatever the manifest
//! says.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::bed::Bed;

/// In `/proc/<pid>/status`.
const CONFINED: [&str; 6] = [
    "Uid:\t65532\t65532\t65532\t65532",
    "CapPrm:\t0000000000000000",
    "CapEff:\t0000000000000000",
    "CapBnd:\t0000000000000000",
    "NoNewPrivs:\t1",
    // 2: a filter.
    "Seccomp:\t2",
];

/// No capability that it has or could get, a seccomp filter, a root file
/// system that it cannot write. Only where its processes are this machine's.
pub async fn operator_is_confined(bed: &Bed) -> Result<()> {
    if !bed.cluster.is_own() {
        println!("*** SKIPPED: the operator's processes cannot be seen from here");
        return Ok(());
    }
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc")? {
        let process = entry?.path();
        if named(&process, "keylease") {
            confined(&process).with_context(|| process.display().to_string())?;
            seen += 1;
        }
    }
    ensure!(seen == 2, "{seen} processes of the operator");
    Ok(())
}

fn named(process: &Path, name: &str) -> bool {
    // Most entries are no processes, and processes end.
    std::fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim() == name)
}

fn confined(process: &Path) -> Result<()> {
    let status = std::fs::read_to_string(process.join("status"))?;
    for line in CONFINED {
        ensure!(status.lines().any(|l| l == line), "no {line:?} in {status}");
    }
    let mounts = std::fs::read_to_string(process.join("mountinfo"))?;
    // Fields: id, parent, device, root, mount point, options.
    let mut mounts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let root = mounts.find(|fields| fields[4] == "/").context("no root")?;
    ensure!(root[5].split(',').any(|option| option == "ro"), "{root:?}");
    Ok(())
}
