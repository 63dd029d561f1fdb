//! What the fake account holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::config::{FakeConfig, KeyDelay};
use super::error::AwsError;
use super::extras::Extra;
use super::policy;
use super::report::Report;
use super::view::{KeyView, UserView};
use crate::aws_cli::{ADMIN_KEY_ID, ADMIN_SECRET};

/// An IAM user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) arn: String,
    pub(super) created: Timestamp,
    pub(super) born: Instant,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) boundary: Option<String>,
    pub(super) attached: BTreeSet<String>,
    pub(super) inline: BTreeMap<String, String>,
    pub(super) groups: BTreeSet<String>,
    /// Key ids, oldest first.
    pub(super) keys: Vec<String>,
    pub(super) login_profile: Option<Timestamp>,
    pub(super) extras: Vec<Extra>,
}

/// Any access key that ever was, of a user or of a session.
pub(super) struct Key {
    pub(super) secret: String,
    /// Sessions only.
    pub(super) token: Option<String>,
    pub(super) principal: Principal,
    pub(super) created: Timestamp,
    pub(super) born: Instant,
    /// When each server accepts it.
    pub(super) works_from: Vec<Instant>,
    /// When it was deleted or deactivated.
    pub(super) ended: Option<Instant>,
    /// Sessions only.
    pub(super) expires: Option<Instant>,
    /// When, and for which region and service.
    pub(super) last_used: Option<(Timestamp, String, &'static str)>,
}

/// Whom a key belongs to.
#[derive(Debug, Clone)]
pub(super) struct Principal {
    pub(super) arn: String,
    pub(super) id: String,
    /// The IAM user; of a session, the one that asked for it.
    pub(super) user: Option<String>,
    pub(super) is_session: bool,
}

/// The account.
pub(super) struct State {
    pub(super) account: String,
    /// By name in lower case: AWS's names are unique without regard to case.
    pub(super) users: BTreeMap<String, User>,
    pub(super) keys: HashMap<String, Key>,
    /// When each group was created.
    pub(super) groups: BTreeMap<String, Group>,
    /// Documents of managed policies, by ARN.
    pub(super) policies: BTreeMap<String, String>,
    /// Serial numbers of virtual MFA devices, in use or not.
    pub(super) virtual_mfas: BTreeSet<String>,
    /// The last credential report.
    pub(super) report: Option<Report>,
    pub(super) rng: fastrand::Rng,
}

impl State {
    /// An account with the root user and its key.
    pub(super) fn new(config: &FakeConfig, now: Instant, wall: Timestamp) -> Self {
        let mut state = Self {
            account: config.account_id.clone(),
            users: BTreeMap::new(),
            keys: HashMap::new(),
            groups: BTreeMap::new(),
            policies: policy::managed().collect(),
            virtual_mfas: BTreeSet::new(),
            report: None,
            rng: fastrand::Rng::with_seed(config.seed),
        };
        let mut user = state.new_user(&config.root_user, "/", now, wall);
        user.keys.push(config.root_key_id.clone());
        let key = Key::of_user(&user, config.root_secret.clone(), vec![now], now, wall);
        state.keys.insert(config.root_key_id.clone(), key);
        state.users.insert(fold(&config.root_user), user);
        let root = Principal {
            arn: format!("arn:aws:iam::{}:root", config.account_id),
            id: config.account_id.clone(),
            user: None,
            is_session: false,
        };
        let key = Key::of(root, ADMIN_SECRET.to_owned(), vec![now], now, wall);
        state.keys.insert(ADMIN_KEY_ID.to_owned(), key);
        state
    }

    /// A user that is not in the account yet.
    pub(super) fn new_user(
        &mut self,
        name: &str,
        path: &str,
        now: Instant,
        wall: Timestamp,
    ) -> User {
        User {
            name: name.to_owned(),
            path: path.to_owned(),
            id: self.new_id("AIDA"),
            arn: format!("arn:aws:iam::{}:user{path}{name}", self.account),
            created: wall,
            born: now,
            tags: BTreeMap::new(),
            boundary: None,
            attached: BTreeSet::new(),
            inline: BTreeMap::new(),
            groups: BTreeSet::new(),
            keys: Vec::new(),
            login_profile: None,
            extras: Vec::new(),
        }
    }

    pub(super) fn user(&self, name: &str) -> Result<&User, AwsError> {
        self.users
            .get(&fold(name))
            .ok_or_else(|| AwsError::no_such_user(name))
    }

    pub(super) fn user_mut(&mut self, name: &str) -> Result<&mut User, AwsError> {
        self.users
            .get_mut(&fold(name))
            .ok_or_else(|| AwsError::no_such_user(name))
    }

    /// A unique id such as `AIDA` and 16 more letters and digits.
    pub(super) fn new_id(&mut self, prefix: &str) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        self.random(prefix, LETTERS, 16)
    }

    /// A secret of 40 characters.
    pub(super) fn new_secret(&mut self) -> String {
        self.new_blob(40)
    }

    /// Random text that looks like base64.
    pub(super) fn new_blob(&mut self, len: usize) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        self.random("", LETTERS, len)
    }

    fn random(&mut self, prefix: &str, letters: &[u8], len: usize) -> String {
        let letters = (0..len).map(|_| char::from(letters[self.rng.usize(..letters.len())]));
        prefix.chars().chain(letters).collect()
    }

    /// When each server will accept a key that is made now.
    pub(super) fn draw_delays(&mut self, delay: KeyDelay, now: Instant) -> Vec<Instant> {
        let (min, max) = (delay.min.as_secs_f64(), delay.max.as_secs_f64());
        (0..delay.servers.max(1))
            .map(|_| min + (max - min).max(0.0) * self.rng.f64())
            .map(|seconds| now + Duration::from_secs_f64(seconds))
            .collect()
    }

    /// A user as tests see it.
    pub(super) fn view(&self, user: &User) -> UserView {
        UserView {
            name: user.name.clone(),
            path: user.path.clone(),
            created: user.created,
            tags: user.tags.clone(),
            boundary: user.boundary.clone(),
            attached: user.attached.iter().cloned().collect(),
            inline: user.inline.keys().cloned().collect(),
            groups: user.groups.iter().cloned().collect(),
            keys: user
                .keys
                .iter()
                .filter_map(|id| {
                    self.keys.get(id).map(|key| KeyView {
                        id: id.clone(),
                        active: key.ended.is_none(),
                        created: key.created,
                    })
                })
                .collect(),
            login_profile: user.login_profile.is_some(),
        }
    }
}

impl Key {
    pub(super) fn of_user(
        user: &User,
        secret: String,
        works_from: Vec<Instant>,
        now: Instant,
        wall: Timestamp,
    ) -> Self {
        let principal = Principal {
            arn: user.arn.clone(),
            id: user.id.clone(),
            user: Some(user.name.clone()),
            is_session: false,
        };
        Self::of(principal, secret, works_from, now, wall)
    }

    fn of(
        principal: Principal,
        secret: String,
        works_from: Vec<Instant>,
        now: Instant,
        wall: Timestamp,
    ) -> Self {
        Self {
            secret,
            token: None,
            principal,
            created: wall,
            born: now,
            works_from,
            ended: None,
            expires: None,
            last_used: None,
        }
    }

    /// `Active` or `Inactive`.
    pub(super) fn status(&self) -> &'static str {
        if self.ended.is_none() {
            "Active"
        } else {
            "Inactive"
        }
    }
}

/// The form of a name that two names share if AWS takes them for the same.
pub(super) fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// A group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) created: Timestamp,
    /// Managed policies by ARN.
    pub(super) attached: BTreeSet<String>,
    /// Inline policies by name.
    pub(super) inline: BTreeMap<String, String>,
}

impl Group {
    pub(super) fn new(created: Timestamp) -> Self {
        Self {
            created,
            attached: BTreeSet::new(),
            inline: BTreeMap::new(),
        }
    }
}
