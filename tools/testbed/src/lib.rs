//! The test bed of Keylease: a real Kubernetes control plane and two AWS
//! stand-ins, on loopback only, with no container engine.
//!
//! - [`ControlPlane`]: etcd, kube-apiserver and kube-controller-manager; what is
//!   stored can be put back to an earlier state in a moment.
//! - [`pool::Pool`]: what is dear to start goes from one test to the next.
//! - [`FakeAws`]: our own IAM and STS, which can be slow, forgetful,
//!   eventually consistent or down, and which keeps a journal of all calls.
//! - [`Moto`]: the AWS stand-in that everybody uses, as a second opinion.
//! - [`Node`]: containerd and kubelet, which run pods; in namespaces only.
//! - [`OtlpCollector`]: takes the traces that an operator exports.
//! - [`Operator`]: a built `keylease` binary as a child that can be killed.
//! - [`wait::until`]: how tests wait; nothing here sleeps for a guess.
//!
//! Every child process dies with the process that started it, however that
//! ends. The tools come from `make tools`; see `tools/README.md`.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod aws;
pub mod aws_cli;
pub mod control_plane;
pub mod http;
pub mod https;
mod janitor;
pub mod moto;
pub mod node;
pub mod operator;
pub mod otlp;
pub mod outbound;
pub mod paths;
pub mod pki;
pub mod pool;
pub mod ports;
pub mod process;
pub mod socks;
pub mod wait;
mod work_dir;

pub use aws::{FakeAws, FakeConfig, Fault, FaultKind};
pub use control_plane::{Contents, ControlPlane, ControlPlaneOptions};
pub use https::Https;
pub use moto::{Moto, MotoOptions};
pub use node::{Node, NodeNetwork};
pub use operator::Operator;
pub use otlp::{OtlpCollector, SpanView};
pub use outbound::{ForwardProxy, TlsFront};
pub use socks::SocksProxy;
