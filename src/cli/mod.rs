//! The command line. Errors end in one sentence and an exit code: 0 done,
//! 1 failed, 2 used wrongly.

mod cluster;
mod controller;
mod crds;
mod endpoints;
mod iam_policy;
mod identity;
pub mod plugin;
mod reference;
mod shutdown;
mod sweep;
mod version;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Short-lived AWS credentials as Kubernetes Secrets.
#[derive(Parser)]
#[command(name = "keylease", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator against the cluster of the current kubeconfig or pod.
    Controller(controller::Args),
    /// Print the custom resource definitions, or write them into a folder.
    Crds(crds::Args),
    /// Print the least IAM policy that the operator needs.
    IamPolicy(iam_policy::Args),
    /// Show and remove IAM users that no request accounts for.
    ///
    /// Looks once at the users under the operator's path in each account, as the
    /// operator itself does on its schedule; it may run meanwhile. Needs the
    /// operator's rights in the cluster and, for accounts with ambient
    /// credentials, in AWS.
    ///
    /// Exit codes: 0 when nothing is left to remove, 2 when something is (with
    /// --dry-run: would be removed), 1 when the sweep could not be made.
    Sweep(sweep::Args),
    /// Print version, commit and date of this program.
    Version,
    /// Write the reference pages of the documentation.
    #[command(hide = true)]
    Reference(reference::Args),
}

/// Runs the command that the process was called with.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = |()| ExitCode::SUCCESS;
    let result = match cli.command {
        Command::Controller(args) => controller::run(args).map(done),
        Command::Crds(args) => crds::run(&args).map(done),
        Command::IamPolicy(args) => iam_policy::run(&args).map(done),
        Command::Sweep(args) => sweep::run(args),
        Command::Version => {
            println!("{}", version::Build::this());
            Ok(ExitCode::SUCCESS)
        }
        Command::Reference(args) => {
            reference::run(&args, Cli::command(), plugin::command()).map(done)
        }
    };
    match result {
        Ok(code) => code,
        Err(sentence) => {
            eprintln!("keylease: {sentence}");
            ExitCode::FAILURE
        }
    }
}
