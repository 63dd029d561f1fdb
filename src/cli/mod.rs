//! The command line. Errors end in one sentence and an exit code: 0 done,
//! 1 failed, 2 used wrongly.

mod controller;
mod crds;
mod iam_policy;
pub mod plugin;
mod reference;
mod sweep;

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
    /// Write the reference pages of the documentation.
    #[command(hide = true)]
    Reference(reference::Args),
}

/// Runs the command that the process was called with.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Controller(args) => controller::run(args),
        Command::Crds(args) => crds::run(&args),
        Command::IamPolicy(args) => iam_policy::run(&args),
        Command::Reference(args) => reference::run(&args, Cli::command(), plugin::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("keylease: {sentence}");
            ExitCode::FAILURE
        }
    }
}
