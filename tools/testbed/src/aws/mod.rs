//! Our own IAM and STS, in memory, speaking AWS's Query protocol.
//!
//! Both services are on one port. Signatures are really checked, and so are
//! permissions, by the policies that are on a user; see [`FakeAws::confine`].

mod auth;
mod authorize;
mod config;
mod dispatch;
mod engine;
mod error;
mod extras;
mod fault;
mod groups;
mod inspect;
mod journal;
mod keys;
mod params;
mod policies;
mod policy;
mod report;
mod server;
mod sigv4;
mod state;
mod sts;
mod target;
#[cfg(test)]
mod tests;
mod throttle;
mod users;
mod view;
mod xml;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

pub use self::config::{FakeConfig, KeyDelay, Rate};
use self::engine::Engine;
pub use self::fault::{Fault, FaultId, FaultKind};
pub use self::journal::{Call, Outcome};
use self::server::Mode;
pub use self::view::{KeyView, UserView};
use crate::{aws_cli, ports};

/// A running fake. It has a thread of its own and stops when dropped.
pub struct FakeAws {
    engine: Arc<Mutex<Engine>>,
    addr: SocketAddr,
    mode: watch::Sender<Mode>,
    thread: Option<JoinHandle<()>>,
}

impl FakeAws {
    /// Starts a fake. It answers when this returns.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn start(config: FakeConfig) -> Result<Self> {
        let listener = match config.port {
            Some(port) => TcpListener::bind((config.address, port))
                .with_context(|| format!("binding port {port} of the fake"))?,
            None => ports::bind(config.address)?,
        };
        let addr = listener.local_addr()?;
        let engine = Arc::new(Mutex::new(Engine::new(config, Instant::now())));
        let (mode, watched) = watch::channel(Mode::Up);
        let shared = engine.clone();
        let thread = std::thread::Builder::new()
            .name("fake-aws".to_owned())
            .spawn(move || {
                if let Err(error) = server::run(listener, &shared, watched) {
                    eprintln!("fake AWS: {error:#}");
                }
            })?;
        Ok(Self {
            engine,
            addr,
            mode,
            thread: Some(thread),
        })
    }

    /// The value for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Changes the behaviour from now on.
    pub fn set_config(&self, change: impl FnOnce(&mut FakeConfig)) {
        change(&mut self.engine.lock().config);
    }

    /// Adds a fault. The oldest that matches a call acts.
    pub fn add_fault(&self, fault: Fault) -> FaultId {
        self.engine.lock().faults.add(fault)
    }

    /// How often a fault will still act: `Some(0)` once it has struck for the
    /// last time, although what it does may still be under way.
    #[must_use]
    pub fn times_left(&self, id: FaultId) -> Option<u32> {
        self.engine.lock().faults.times_left(id)
    }

    /// Removes one fault.
    pub fn remove_fault(&self, id: FaultId) {
        self.engine.lock().faults.remove(id);
    }

    /// Removes all faults. Calls that already wait in one are not freed.
    pub fn clear_faults(&self) {
        self.engine.lock().faults.clear();
    }

    /// While down, every connection is closed at once, those that are open
    /// too. Calls under way still take effect.
    pub fn set_down(&self, down: bool) {
        let mode = if down { Mode::Down } else { Mode::Up };
        self.mode.send_replace(mode);
    }

    /// All calls since the start or [`FakeAws::clear_journal`], in the order
    /// in which they took effect.
    #[must_use]
    pub fn journal(&self) -> Vec<Call> {
        self.engine.lock().journal.calls().to_vec()
    }

    /// Forgets all calls so far.
    pub fn clear_journal(&self) {
        self.engine.lock().journal.clear();
    }

    /// How many calls of an action there were, failed ones included.
    #[must_use]
    pub fn count(&self, op: &str) -> usize {
        self.engine.lock().journal.count(op)
    }

    /// How many calls there were, by action.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.engine.lock().journal.counts()
    }

    /// All users, [`FakeConfig::root_user`] included.
    #[must_use]
    pub fn users(&self) -> Vec<UserView> {
        self.users_under("/")
    }

    /// The users whose path starts with `prefix`, such as `/keylease/`, but for
    /// [`FakeAws::markers`].
    #[must_use]
    pub fn users_under(&self, prefix: &str) -> Vec<UserView> {
        let mut users = self.everybody();
        users.retain(|user| user.path.starts_with(prefix) && !is_marker(user));
        users
    }

    /// The users that stand for clusters and not for leases.
    #[must_use]
    pub fn markers(&self) -> Vec<UserView> {
        let mut users = self.everybody();
        users.retain(is_marker);
        users
    }

    fn everybody(&self) -> Vec<UserView> {
        let engine = self.engine.lock();
        let users = engine.state.users.values();
        users.map(|user| engine.state.view(user)).collect()
    }

    /// One user.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<UserView> {
        let engine = self.engine.lock();
        let user = engine.state.user(name).ok()?;
        Some(engine.state.view(user))
    }

    /// The secret of any key that ever was, deleted ones and sessions
    /// included.
    #[must_use]
    pub fn secret_of(&self, key_id: &str) -> Option<String> {
        let engine = self.engine.lock();
        let key = engine.state.keys.get(key_id)?;
        Some(key.secret.clone())
    }

    /// All secrets and session tokens that ever were, the root secret
    /// included: what must not appear in any log.
    #[must_use]
    pub fn all_secrets(&self) -> Vec<String> {
        let engine = self.engine.lock();
        let keys = engine.state.keys.values();
        keys.flat_map(|key| [Some(key.secret.clone()), key.token.clone()])
            .flatten()
            .collect()
    }

    /// Makes a group exist.
    pub fn add_group(&self, name: &str) {
        let mut engine = self.engine.lock();
        let groups = &mut engine.state.groups;
        groups
            .entry(name.to_owned())
            .or_insert_with(|| state::Group::new(Timestamp::now()));
    }

    /// Makes a customer-managed policy exist.
    pub fn add_policy(&self, arn: &str) {
        let mut engine = self.engine.lock();
        engine
            .state
            .policies
            .insert(arn.to_owned(), policy::harmless());
    }

    /// Lets the operator's user do what this policy document says and no more,
    /// instead of everything. The account's root
    /// ([`ADMIN_KEY_ID`](aws_cli::ADMIN_KEY_ID)) may do everything as before.
    ///
    /// # Errors
    /// When the document is none.
    pub fn confine(&self, document: &str) -> Result<()> {
        policy::check(document).map_err(|error| anyhow!(error.message))?;
        let mut engine = self.engine.lock();
        let engine = &mut *engine;
        let arn = format!("arn:aws:iam::{}:policy/operator", engine.state.account);
        engine
            .state
            .policies
            .insert(arn.clone(), document.to_owned());
        let user = engine.state.user_mut(&engine.config.root_user);
        user.map_err(|error| anyhow!(error.message))?
            .attached
            .insert(arn);
        Ok(())
    }

    /// Gives a user one of everything that blocks `DeleteUser` and that the
    /// operator never makes: a console password, a virtual MFA device, a passkey,
    /// an SSH key, a signing certificate and a service-specific credential.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn encumber_user(&self, name: &str) -> Result<()> {
        let mut engine = self.engine.lock();
        extras::give_all(&mut engine.state, name, Timestamp::now())
            .map_err(|error| anyhow!(error.message))
    }

    /// Runs the AWS CLI against this fake as the account's root, or as whom
    /// `env` says; see [`aws_cli::run`].
    ///
    /// # Errors
    /// When the command fails.
    pub async fn aws_cli(&self, env: &[(&str, &str)], args: &[&str]) -> Result<String> {
        let root = [
            ("AWS_ACCESS_KEY_ID", aws_cli::ADMIN_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", aws_cli::ADMIN_SECRET),
        ];
        aws_cli::run(&self.endpoint(), &[&root, env].concat(), args).await
    }
}

/// Every action on which permissions are checked here, and the type of the
/// resource that it is authorised on.
pub fn authorised_actions() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    target::all()
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.mode.send_replace(Mode::Stopped);
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

/// Whether the name is that of a cluster's marker.
fn is_marker(user: &UserView) -> bool {
    user.name.starts_with("keylease-cluster-")
}
