//! What a process uses, as the kernel counts it.

use anyhow::{Context, Result};

/// Ticks of a second in /proc, on every Linux (`man 5 proc`, USER_HZ).
const TICKS: f64 = 100.0;

/// A reading.
pub struct Usage {
    /// Resident memory, in MiB.
    pub resident: f64,
    /// The most that it ever was, in MiB.
    pub peak: f64,
    /// Processor time since its start, of user and system, in seconds.
    pub processor: f64,
}

impl Usage {
    /// Of that process, now.
    pub fn of(pid: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mebibytes = |field: &str| {
            let line = status.lines().find(|line| line.starts_with(field));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            let kibibytes: f64 = number.context("no memory in status")?.parse()?;
            anyhow::Ok(kibibytes / 1024.0)
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may have spaces in it.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|t| t.parse().unwrap_or(0)).sum::<u64>();
        Ok(Self {
            resident: mebibytes("VmRSS:")?,
            peak: mebibytes("VmHWM:")?,
            processor: ticks as f64 / TICKS,
        })
    }
}
