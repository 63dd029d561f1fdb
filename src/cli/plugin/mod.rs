//! `kubectl keylease`: what people type. Works with the person's own kubeconfig
//! and rights; there is no server of ours behind it.
//!
//! stdout is for data, stderr for everything else. Secrets are printed by
//! `issue` alone and given to the child of `exec`.

mod ask;
mod claim;
mod client;
mod describe;
mod doctor;
mod error;
mod exec;
mod fresh;
mod issue;
mod key;
mod leases;
mod output;
pub(super) mod paint;
mod progress;
mod renew;
mod revocation;
mod revoke;
mod revoked;
mod roles;
mod rotate;
mod shared;
mod sharing;
mod signals;
pub(super) mod table;
mod wait;
mod when;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use super::iam_policy;
use client::Target;
use error::Failure;

/// Short-lived AWS credentials from Kubernetes.
#[derive(Parser)]
#[command(
    name = "kubectl-keylease",
    bin_name = "kubectl keylease",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 used wrongly, 3 asked for and not done in time, \
                  128+n ended by signal n. \
                  `exec` ends with the code of its command.\n\
                  Environment: KUBECONFIG, HTTPS_PROXY, HTTP_PROXY, NO_PROXY, NO_COLOR."
)]
struct Cli {
    #[command(flatten)]
    target: Target,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Issue(issue::Args),
    Exec(exec::Args),
    Leases(leases::Args),
    Describe(describe::Args),
    Renew(renew::Args),
    Revoke(revoke::Args),
    Rotate(rotate::Args),
    Roles(roles::Args),
    Doctor(doctor::Args),
    /// Print the least IAM policy that the operator needs.
    IamPolicy(iam_policy::Args),
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        #[arg(value_parser = ["bash", "zsh", "fish"])]
        shell: String,
    },
}

/// The command line, for the reference.
pub(super) fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the process was called with.
pub fn run() -> ExitCode {
    let Cli { target, command } = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(command, target)),
        Err(error) => Err(Failure::new(format!("cannot start: {error}"))),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(Failure { sentence, code }) => {
            eprintln!("keylease: {}", paint::one_line(&sentence));
            ExitCode::from(code)
        }
    }
}

async fn dispatch(command: Command, target: Target) -> Result<u8, Failure> {
    match command {
        Command::Issue(args) => issue::run(args, target).await,
        Command::Exec(args) => exec::run(args, target).await,
        Command::Leases(args) => leases::run(args, target).await,
        Command::Describe(args) => describe::run(args, target).await,
        Command::Renew(args) => renew::run(args, target).await,
        Command::Revoke(args) => revoke::run(args, target).await,
        Command::Rotate(args) => rotate::run(args, target).await,
        Command::Roles(args) => roles::run(args, target).await,
        Command::Doctor(args) => doctor::run(args, target).await,
        Command::IamPolicy(args) => iam_policy::run(&args).map(|()| 0).map_err(Failure::new),
        Command::Completion { shell } => completion(&shell),
    }
}

fn completion(shell: &str) -> Result<u8, Failure> {
    let shell: Shell = shell.parse().map_err(Failure::usage)?;
    let mut script = Vec::new();
    let mut command = Cli::command().bin_name("kubectl-keylease");
    clap_complete::generate(shell, &mut command, "kubectl-keylease", &mut script);
    paint::print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_where_kubectl_has_them() {
        for line in [
            "k issue r -n ns --context c",
            "k -n ns exec r --ttl 5m -- aws s3 ls -n x",
            "k leases -A --phase ready -o wide",
            "k revoke --all --yes",
            "k revoke a b --dry-run",
            "k exec r --name x --reuse --min-left 0s -- true",
            "k --cluster c leases --user u --kubeconfig f",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "k issue",
            "k issue r --reuse",
            "k issue r --name x --min-left 5m",
            "k issue r --name x --reuse --min-left=-5m",
            "k exec r",
            "k revoke",
            "k revoke x --role r",
            "k issue r --ttl soon",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
