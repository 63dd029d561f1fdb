//! `testbed fake-aws`.

use std::time::Duration;

use anyhow::Result;
use jiff::SignedDuration;
use keylease_testbed::aws::{KeyDelay, Rate};
use keylease_testbed::aws_cli;
use keylease_testbed::{FakeAws, FakeConfig};

use crate::stop;

/// Durations are written like `20ms`, `3s`, `1m`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Port on 127.0.0.1 [default: a free one]
    #[arg(long)]
    port: Option<u16>,
    /// Time per call
    #[arg(long, value_parser = duration, default_value = "0s")]
    latency: Duration,
    /// How long new access keys do not work
    #[arg(long, value_parser = duration, default_value = "0s")]
    key_delay: Duration,
    /// With this, each key draws its delay between --key-delay and this
    #[arg(long, value_parser = duration)]
    key_delay_max: Option<Duration>,
    /// How many servers draw their own delay, so that keys flap
    #[arg(long, default_value_t = 1)]
    key_servers: u8,
    /// How long deleted access keys still work
    #[arg(long, value_parser = duration, default_value = "0s")]
    key_tail: Duration,
    /// How young a user is not seen by calls that read
    #[arg(long, value_parser = duration, default_value = "0s")]
    read_lag: Duration,
    /// IAM calls per second before throttling [default: no limit]
    #[arg(long)]
    rate: Option<f64>,
    /// IAM calls at once before throttling, with --rate
    #[arg(long, default_value_t = 20.0)]
    burst: f64,
    /// How many users the account can have
    #[arg(long, default_value_t = 5000)]
    max_users: usize,
    /// Stop when this process is gone
    #[arg(long, value_name = "PID")]
    exit_with_parent: Option<u32>,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let parent = args.exit_with_parent;
    let fake = FakeAws::start(args.config())?;
    for (name, value) in aws_cli::env(&fake.endpoint()) {
        println!("export {name}='{value}'");
    }
    let why = stop::requested(parent).await?;
    eprintln!("{why}, stopping");
    Ok(())
}

impl Args {
    fn config(&self) -> FakeConfig {
        FakeConfig {
            port: self.port,
            latency: self.latency,
            key_delay: KeyDelay::flapping(
                self.key_delay,
                self.key_delay_max.unwrap_or(self.key_delay),
                self.key_servers,
            ),
            key_tail: self.key_tail,
            read_lag: self.read_lag,
            rate: self.rate.map(|per_second| Rate {
                per_second,
                burst: self.burst,
            }),
            max_users: self.max_users,
            ..FakeConfig::default()
        }
    }
}

fn duration(text: &str) -> Result<Duration, jiff::Error> {
    let signed: SignedDuration = text.parse()?;
    signed.try_into()
}
