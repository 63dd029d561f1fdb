//! The node's network: one address that pods, node and control plane share,
//! in a network namespace without a way out.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The network namespace of whoever called `tools/node/inside.sh`.
const OUTER_NET: &str = "TESTBED_OUTER_NET";
/// kubelet refuses a node on a loopback address, so the node has one end of a
/// veth pair.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
/// Nobody is there. kubelet and kube-proxy ask for a default route.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 254);

/// Proof that this process is in a network of its own, and that it was set up.
#[derive(Debug, Clone, Copy)]
pub struct NodeNetwork(());

impl NodeNetwork {
    /// Gives the namespace its interfaces, a route, and forwarding.
    ///
    /// # Errors
    /// When this is the machine's own network, or a command fails.
    pub fn set_up() -> Result<Self> {
        check_isolated()?;
        for line in [
            "link set lo up".to_owned(),
            "link add node0 type veth peer name node0-peer".to_owned(),
            format!("address add {ADDRESS}/24 dev node0"),
            "link set node0 up".to_owned(),
            "link set node0-peer up".to_owned(),
            format!("route add default via {GATEWAY}"),
        ] {
            ip(&line)?;
        }
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")
            .context("turning IP forwarding on inside the namespace")?;
        Ok(Self(()))
    }

    /// The node's address, which pods reach too.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        ADDRESS
    }
}

/// Fails in the machine's own network.
pub(super) fn check_isolated() -> Result<()> {
    let here = std::fs::read_link("/proc/self/ns/net").context("reading /proc/self/ns/net")?;
    match std::env::var_os(OUTER_NET) {
        Some(outer) if Path::new(&outer) != here => Ok(()),
        _ => bail!("a node needs namespaces of its own: run this with tools/node/inside.sh"),
    }
}

fn ip(line: &str) -> Result<()> {
    let output = Command::new("ip")
        .args(line.split(' '))
        .stdin(Stdio::null())
        .output()
        .context("running ip (Debian: iproute2)")?;
    if !output.status.success() {
        bail!("ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests run in the network of whoever started them, which is the
    /// machine's: or else `make e2e` runs something that it should not.
    #[test]
    fn never_touches_the_network_of_the_machine() {
        let refusal = NodeNetwork::set_up().expect_err("this is no network of our own");
        assert!(refusal.to_string().contains("inside.sh"), "{refusal}");
    }
}
