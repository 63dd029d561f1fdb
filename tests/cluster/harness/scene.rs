//! A namespace on a bed with a fake AWS: both ends of the story.

use std::ops::Deref;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use keylease_testbed::aws::{Call, UserView};

use super::{Bed, Namespace, SOON, Settings};

/// A namespace, and the IAM users that were made for it. A failed test tells
/// what the operator wrote about it.
pub struct Scene {
    pub bed: Arc<Bed>,
    namespace: Namespace,
}

impl Deref for Scene {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl Scene {
    /// On the shared bed.
    pub async fn shared(name: &str) -> Result<Self> {
        Self::on(Bed::shared().await?, name).await
    }

    /// On that bed.
    pub async fn on(bed: Arc<Bed>, name: &str) -> Result<Self> {
        let client = bed.client().await?;
        let namespace = Namespace::create(client, name).await?;
        Ok(Self { bed, namespace })
    }

    /// On a bed of its own, with these settings.
    pub async fn alone(settings: Settings<'_>, name: &str) -> Result<Self> {
        Self::on(Bed::start(settings).await?, name).await
    }

    /// On a bed of its own, with this added to the operator's environment.
    pub async fn with_env(name: &str, env: &[(&str, &str)]) -> Result<Self> {
        let settings = Settings {
            env,
            ..Settings::default()
        };
        Self::alone(settings, name).await
    }

    /// Kills the operator, with nothing tidied up before.
    pub async fn kill(&self) -> Result<()> {
        self.bed.operator.lock().await.kill_hard()?;
        Ok(())
    }

    /// Starts it again, and waits until it is ready.
    pub async fn start_again(&self) -> Result<()> {
        let mut operator = self.bed.operator.lock().await;
        operator.start_again()?;
        operator.wait_ready(SOON).await
    }

    /// How the names of the IAM users of a request begin.
    pub fn user_prefix(&self, request: &str) -> String {
        format!("keylease-{}-{request}-", self.name)
    }

    /// The IAM users of a request. There should never be two.
    pub fn users(&self, request: &str) -> Vec<UserView> {
        let prefix = self.user_prefix(request);
        let mut users = self.bed.aws.users();
        users.retain(|user| user.name.starts_with(&prefix));
        users
    }

    /// All IAM calls about users of a request, failed ones too.
    pub fn calls(&self, request: &str) -> Vec<Call> {
        let prefix = self.user_prefix(request);
        let mut calls = self.bed.aws.journal();
        calls.retain(|c| c.user.as_ref().is_some_and(|u| u.starts_with(&prefix)));
        calls
    }

    /// The names of those calls.
    pub fn operations(&self, request: &str) -> Vec<String> {
        self.calls(request).into_iter().map(|c| c.op).collect()
    }

    /// Checks that there is one user with one key, and that the Secret and the
    /// status name that very key.
    pub async fn expect_one_key(&self, request: &str) -> Result<UserView> {
        let mut users = self.users(request);
        ensure!(users.len() == 1, "not one user: {users:?}");
        let user = users.remove(0);
        ensure!(user.keys.len() == 1, "not one key: {:?}", user.keys);
        let object = self.requests().get(request).await?;
        let secret = self
            .secret(&object.secret_name())
            .await?
            .context("there is no Secret")?;
        let key = user.keys[0].id.as_str();
        ensure!(
            secret["AWS_ACCESS_KEY_ID"] == key,
            "the Secret holds another key than {key}"
        );
        let kept = self.bed.aws.secret_of(key);
        let right = kept.as_ref() == Some(&secret["AWS_SECRET_ACCESS_KEY"]);
        ensure!(right, "the Secret's second half does not go with {key}");
        let status = object
            .status
            .and_then(|s| s.credential)
            .context("no credential in status")?;
        ensure!(
            status.access_key_id == key,
            "the status names another key than {key}"
        );
        Ok(user)
    }

    /// Waits until the Secret and the status name the key that AWS made last,
    /// whatever else lives on for an overlap.
    pub async fn expect_secret_of_the_last_key(&self, request: &str) -> Result<()> {
        let what = format!("the Secret of {request} to hold the newest key");
        keylease_testbed::wait::until_ok(&what, SOON, || async {
            let object = self.requests().get(request).await?;
            let secret = self.secret(&object.secret_name()).await?;
            let secret = secret.context("there is no Secret")?;
            let users = self.users(request);
            let keys = users.iter().flat_map(|u| &u.keys);
            let newest = keys.last().context("no key")?.id.clone();
            let shown = object.status.and_then(|s| s.credential);
            let shown = shown.context("no credential")?.access_key_id;
            ensure!(shown == newest, "the status names {shown}, not {newest}");
            let right = self.bed.aws.secret_of(&newest);
            ensure!(
                secret["AWS_ACCESS_KEY_ID"] == newest,
                "another key is in it"
            );
            ensure!(
                right.as_ref() == Some(&secret["AWS_SECRET_ACCESS_KEY"]),
                "not its secret"
            );
            Ok::<_, anyhow::Error>(())
        })
        .await
    }

    /// Checks that neither AWS nor the cluster holds anything of the request.
    pub async fn expect_nothing_left(&self, request: &str) -> Result<()> {
        let users = self.users(request);
        ensure!(users.is_empty(), "users are left: {users:?}");
        ensure!(self.secret(request).await?.is_none(), "the Secret is left");
        Ok(())
    }
}

/// Lines of the operator's log that a failed test shows.
const LAST_LINES: usize = 60;

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.bed.keep();
        if let Ok(operator) = self.bed.operator.try_lock() {
            let log = operator.log_text();
            let about: Vec<&str> = log.lines().filter(|l| l.contains(&self.name)).collect();
            let from = about.len().saturating_sub(LAST_LINES);
            eprintln!(
                "the operator about {}:\n{}",
                self.name,
                about[from..].join("\n")
            );
        }
        for call in self.calls("") {
            eprintln!(
                "AWS: {} {} {:?} {:?}",
                call.at, call.op, call.user, call.outcome
            );
        }
    }
}
