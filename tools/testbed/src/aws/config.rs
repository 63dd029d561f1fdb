//! How the fake behaves. Everything can be changed while it runs.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::aws_cli::{ROOT_KEY_ID, ROOT_SECRET};

/// The behaviour of a [`FakeAws`](super::FakeAws). The default is an AWS at
/// its best: instantly consistent, without latency or throttling.
#[derive(Debug, Clone)]
pub struct FakeConfig {
    /// The account. Read at the start only.
    pub account_id: String,
    /// The user that owns the root key: an ordinary IAM user with path `/`,
    /// so that its own key can be rotated, which may do everything until a
    /// policy is put on it. Read at the start only.
    pub root_user: String,
    /// The key id of the first key of `root_user`. Read at the start only.
    pub root_key_id: String,
    /// The secret of that key. Read at the start only.
    pub root_secret: String,
    /// Seed of ids, secrets, delays and fault probabilities. Read at the
    /// start only. Default: random.
    pub seed: u64,
    /// Address to listen on. Read at the start only. Default: 127.0.0.1, which
    /// pods cannot reach.
    pub address: Ipv4Addr,
    /// Port to listen on. Read at the start only. Default: a free one.
    pub port: Option<u16>,

    /// Time per call: one half passes before it takes effect, one half after.
    pub latency: Duration,
    /// How long a new access key is not accepted.
    pub key_delay: KeyDelay,
    /// How long a deleted or deactivated key is still accepted.
    pub key_tail: Duration,
    /// Calls that read do not see users younger than this.
    pub read_lag: Duration,
    /// Who decides on permissions does not see users younger than this.
    pub auth_lag: Duration,
    /// `ListAccessKeys` does not see keys younger than this.
    pub key_read_lag: Duration,
    /// Keys younger than a second do not count towards the limit of two, as
    /// when AWS answers several `CreateAccessKey` at once.
    pub non_atomic_key_limit: bool,
    /// Age up to which `GenerateCredentialReport` hands out the report that
    /// there is instead of making a new one. AWS: four hours.
    pub report_max_age: Duration,
    /// `CreateUser` fails with `LimitExceeded` beyond this.
    pub max_users: usize,
    /// Throttling of IAM calls (not of STS). Default: none.
    pub rate: Option<Rate>,
}

impl Default for FakeConfig {
    fn default() -> Self {
        Self {
            account_id: "123456789012".to_owned(),
            root_user: "keylease-operator".to_owned(),
            root_key_id: ROOT_KEY_ID.to_owned(),
            root_secret: ROOT_SECRET.to_owned(),
            seed: fastrand::u64(..),
            address: Ipv4Addr::LOCALHOST,
            port: None,
            latency: Duration::ZERO,
            key_delay: KeyDelay::default(),
            key_tail: Duration::ZERO,
            read_lag: Duration::ZERO,
            auth_lag: Duration::ZERO,
            key_read_lag: Duration::ZERO,
            non_atomic_key_limit: false,
            report_max_age: Duration::ZERO,
            max_users: 5000,
            rate: None,
        }
    }
}

/// When a new access key starts to work.
///
/// AWS has many servers, each of which learns of the key at its own time. A
/// connection leads to any of them: with several, a key works, then fails, then
/// works again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDelay {
    /// The shortest delay of a server.
    pub min: Duration,
    /// The longest delay of a server.
    pub max: Duration,
    /// How many servers there are; connections lead to them in turn.
    pub servers: u8,
}

impl KeyDelay {
    /// Every key works after exactly this long.
    #[must_use]
    pub fn fixed(delay: Duration) -> Self {
        Self::between(delay, delay)
    }

    /// Each key has a delay drawn from this range.
    #[must_use]
    pub fn between(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            servers: 1,
        }
    }

    /// Each of `servers` servers draws its own delay: keys flap.
    #[must_use]
    pub fn flapping(min: Duration, max: Duration, servers: u8) -> Self {
        Self { min, max, servers }
    }
}

impl Default for KeyDelay {
    fn default() -> Self {
        Self::fixed(Duration::ZERO)
    }
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Calls per second in the long run.
    pub per_second: f64,
    /// Calls at once.
    pub burst: f64,
}
