//! `testbed up`.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;
use keylease_testbed::aws_cli;
use keylease_testbed::operator::NAMESPACE;
use keylease_testbed::{
    ControlPlane, ControlPlaneOptions, FakeAws, FakeConfig, Moto, MotoOptions, Node, NodeNetwork,
    paths,
};

use crate::stop;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to put data, logs, the kubeconfig and `env`
    /// [default: target/testbed]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The AWS stand-in
    #[arg(long, value_enum, default_value_t = Aws::Fake)]
    aws: Aws,
    /// Also run a node, so that pods run; only under tools/node/inside.sh
    #[arg(long)]
    node: bool,
    /// Stop when this process is gone
    #[arg(long, value_name = "PID")]
    exit_with_parent: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Aws {
    /// moto, from PyPI
    Moto,
    /// Our own IAM and STS
    Fake,
    /// None
    None,
}

/// The running stand-in; dropping it stops it.
enum StandIn {
    Moto(Moto),
    Fake(FakeAws),
    None,
}

impl StandIn {
    fn endpoint(&self) -> Option<String> {
        match self {
            Self::Moto(moto) => Some(moto.endpoint()),
            Self::Fake(fake) => Some(fake.endpoint()),
            Self::None => None,
        }
    }
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let dir = args
        .dir
        .unwrap_or_else(|| paths::repo_root().join("target/testbed"));
    fresh(&dir)?;
    // A signal while starting drops, and so stops, what has started.
    let running = tokio::select! {
        running = start(&dir, args.aws, args.node) => running?,
        why = stop::requested(args.exit_with_parent) => {
            eprintln!("{}, stopping", why?);
            return Ok(());
        }
    };
    eprintln!("ready: source {}", dir.join("env").display());
    let why = stop::requested(args.exit_with_parent).await?;
    eprintln!("{why}, stopping");
    std::fs::remove_file(dir.join("ready")).context("removing the ready file")?;
    drop(running);
    Ok(())
}

/// Removes what an earlier run left.
fn fresh(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    for name in ["ready", "env"] {
        let path = dir.join(name);
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    for name in ["control-plane", "aws"] {
        let path = dir.join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)
                .with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Dropped in this order: clients before servers.
struct Running {
    _node: Option<Node>,
    _aws: StandIn,
    _plane: ControlPlane,
}

async fn start(dir: &Path, aws: Aws, with_node: bool) -> Result<Running> {
    let network = match with_node {
        true => Some(NodeNetwork::set_up()?),
        false => None,
    };
    let options = ControlPlaneOptions {
        dir: Some(dir.join("control-plane")),
        node: network,
        ..ControlPlaneOptions::default()
    };
    let plane = timed("control plane", ControlPlane::start_with(options)).await?;
    let node = match with_node {
        true => Some(timed("node", Node::start(&plane)).await?),
        false => None,
    };
    let address = network.map_or(Ipv4Addr::LOCALHOST, NodeNetwork::address);
    let stand_in = match aws {
        Aws::None => StandIn::None,
        Aws::Fake => {
            let config = FakeConfig {
                address,
                ..FakeConfig::default()
            };
            let fake = timed("fake AWS", async { FakeAws::start(config) });
            StandIn::Fake(fake.await?)
        }
        Aws::Moto => {
            let options = MotoOptions {
                load_managed_policies: true,
                dir: Some(dir.join("aws")),
                address,
                ..MotoOptions::default()
            };
            StandIn::Moto(timed("moto", Moto::start(options)).await?)
        }
    };
    let env = env_file(&plane, stand_in.endpoint())?;
    std::fs::write(dir.join("env"), env).context("writing the env file")?;
    std::fs::write(dir.join("ready"), "").context("writing the ready file")?;
    Ok(Running {
        _node: node,
        _aws: stand_in,
        _plane: plane,
    })
}

/// Runs one step with a progress line.
async fn timed<T>(what: &str, step: impl Future<Output = Result<T>>) -> Result<T> {
    eprint!("starting {what} … ");
    std::io::stderr().flush()?;
    let began = Instant::now();
    let outcome = step.await;
    let seconds = began.elapsed().as_secs_f64();
    match &outcome {
        Ok(_) => eprintln!("{seconds:.1} s"),
        Err(_) => eprintln!("failed after {seconds:.1} s"),
    }
    outcome
}

fn env_file(plane: &ControlPlane, endpoint: Option<String>) -> Result<String> {
    let mut vars = vec![
        (
            "KUBECONFIG".to_owned(),
            plane.kubeconfig().display().to_string(),
        ),
        ("POD_NAMESPACE".to_owned(), NAMESPACE.to_owned()),
    ];
    vars.extend(
        endpoint
            .map(|endpoint| aws_cli::env(&endpoint))
            .unwrap_or_default(),
    );
    let mut text: String = vars
        .iter()
        .map(|(name, value)| format!("export {name}={}\n", quoted(value)))
        .collect();
    let mut dirs = vec![paths::tool("kubectl")?];
    dirs.extend(paths::venv_program("aws").ok());
    for dir in dirs.iter().filter_map(|program| program.parent()) {
        let dir = quoted(&dir.display().to_string());
        text.push_str(&format!("export PATH={dir}:\"$PATH\"\n"));
    }
    Ok(text)
}

/// Quoted for a shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}
