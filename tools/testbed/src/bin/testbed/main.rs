//! `testbed`: a control plane and an AWS stand-in for a shell or a demo.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod fake_aws;
mod stop;
mod up;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// A local Kubernetes control plane and AWS stand-ins, on loopback only
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a control plane and an AWS stand-in until interrupted
    Up(up::Args),
    /// Run the fake IAM and STS alone until interrupted
    FakeAws(fake_aws::Args),
}

#[tokio::main]
async fn main() -> Result<()> {
    match Args::parse().command {
        Command::Up(args) => up::run(args).await,
        Command::FakeAws(args) => fake_aws::run(args).await,
    }
}
