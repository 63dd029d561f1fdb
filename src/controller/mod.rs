//! The wiring: which events lead to which reconciliations. One file a kind;
//! the decisions are in `plan`.

mod account;
mod closing;
mod concerned;
mod context;
mod desk;
#[cfg(test)]
mod fixtures;
mod identity;
mod ledger;
mod relabelled;
mod request;
mod role;
mod root_rotation;
mod scope;
mod secret_index;
mod sign_ins;
mod sweep;
mod waiting_room;
mod watches;

pub use self::identity::IdentitySettings;
pub use account::credentials;
pub use context::{Concerned, Context, Noticed, Notices};
pub use desk::Desk;
pub use ledger::Ledger;
pub use scope::Scope;
pub use secret_index::SecretIndex;
pub use waiting_room::WaitingRoom;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, Stream, StreamExt};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::cache::Filed;
use crate::health::Readiness;
use crate::metrics::{Caches, Metrics};
use account::AccountContext;
use keylease_api::{AwsAccount, AwsRole};
use role::RoleContext;
use sign_ins::SignIns;
use watches::{each, is_served, watched};

/// Reconciliations of requests at a time, as kube-rs counts: no bound. The
/// waiting room bounds those that do any work, and knows what is urgent.
const REQUEST_CONCURRENCY: u16 = 0;
/// Reconciliations of accounts at a time: no bound. One whose credentials hang
/// hangs nobody else.
const ACCOUNT_CONCURRENCY: u16 = 0;
/// The part of readiness that stands for the accounts' cache.
const ACCOUNTS: &str = "AwsAccount watch";
/// The part that stands for the roles' cache.
const ROLES: &str = "AwsRole watch";
/// The part that stands for the requests' cache.
const REQUESTS: &str = "AwsCredentialRequest watch";
/// The part that stands for the index of our Secrets.
const SECRETS: &str = "Secret watch";
/// The part that stands for the first sign-in to each account.
const SIGN_IN: &str = "account sign-in";
/// How long the start waits for accounts to be signed in to before requests
/// are looked at anyway.
const FIRST_SIGN_IN: Duration = Duration::from_secs(20);

/// The controllers of the three kinds, before they run.
pub struct Controllers {
    accounts: Controller<AwsAccount>,
    roles: Controller<AwsRole>,
    requests: Controller<Filed>,
}

impl Controllers {
    /// Prepares the three watches.
    ///
    /// Requests outside of `scope` are not taken in.
    pub fn new(client: &Client, metrics: &Metrics, readiness: &Readiness, scope: &Scope) -> Self {
        let scope = scope.clone();
        let served = move |request: &Filed| is_served(request, &scope);
        Self {
            accounts: watched(
                client,
                metrics,
                "watch_accounts",
                ACCOUNTS,
                readiness,
                each,
                |_| true,
            ),
            roles: watched(
                client,
                metrics,
                "watch_roles",
                ROLES,
                readiness,
                each,
                |_| true,
            ),
            requests: watched(
                client,
                metrics,
                "watch_requests",
                REQUESTS,
                readiness,
                std::convert::identity,
                served,
            ),
        }
    }

    /// The cache of roles.
    pub fn roles(&self) -> Store<AwsRole> {
        self.roles.store()
    }

    /// All three, to be counted.
    pub fn caches(&self) -> Caches {
        Caches {
            accounts: self.accounts.store(),
            roles: self.roles(),
            requests: self.requests(),
        }
    }

    /// The cache of requests.
    pub fn requests(&self) -> Store<Filed> {
        self.requests.store()
    }

    /// Runs until told to stop; then nothing new is taken up, and what is under
    /// way is finished, or left to the next leader.
    pub async fn run(
        self,
        ctx: Arc<Context>,
        noticed: Noticed,
        readiness: Readiness,
        stop: CancellationToken,
    ) {
        let Noticed {
            requests: concerned,
            suspects,
            accounts: used,
            roles,
        } = noticed;
        readiness.expect(SECRETS);
        readiness.expect(SIGN_IN);
        let sign_in = first_sign_in(ctx.clone(), self.accounts.store(), readiness.clone());
        let sweeps = sweep::run(
            ctx.clone(),
            self.accounts.store(),
            readiness.clone(),
            stop.clone(),
        );
        let ended = CancellationToken::new();
        let identities = identity::run(
            ctx.clone(),
            self.accounts.store(),
            readiness.clone(),
            ended.clone(),
        );
        let accounts = run_accounts(self.accounts, ctx.clone(), suspects, used, stop.clone());
        let roles = run_roles(
            self.roles,
            ctx.clone(),
            roles,
            readiness.clone(),
            stop.clone(),
        );
        let requests = run_requests(
            self.requests,
            ctx.clone(),
            concerned,
            readiness,
            stop.clone(),
        );
        let sign_in = stop.run_until_cancelled(sign_in);
        let work = async {
            futures::join!(accounts, roles, requests, sign_in, sweeps);
            closing::finish(&ctx, REQUEST_CONCURRENCY).await;
            // What is under way makes calls, and so the identity is looked after
            // until it has ended.
            ended.cancel();
        };
        futures::join!(work, identities);
    }
}

/// Completes when every account was signed in to once, or a while has passed:
/// a restart should not tell requests that their account is unknown.
async fn first_sign_in(ctx: Arc<Context>, accounts: Store<AwsAccount>, readiness: Readiness) {
    readiness.wait(ACCOUNTS).await;
    let names: Vec<_> = accounts.state().iter().map(|a| a.name_any()).collect();
    let all_known = ctx.accounts.all_known(names);
    // After that time requests may as well be told that their account is late.
    let _ = tokio::time::timeout(FIRST_SIGN_IN, all_known).await;
    readiness.reached(SIGN_IN);
}

async fn run_accounts(
    controller: Controller<AwsAccount>,
    shared: Arc<Context>,
    suspects: UnboundedReceiver<ObjectRef<AwsAccount>>,
    used: UnboundedReceiver<ObjectRef<AwsAccount>>,
    stop: CancellationToken,
) {
    let store = controller.store();
    let ctx = Arc::new(AccountContext {
        shared: shared.clone(),
        sign_ins: SignIns::default(),
        rotations: parking_lot::Mutex::default(),
    });
    let (distrusting, forgetting) = (ctx.clone(), ctx.clone());
    let suspects = suspects.inspect(move |who| distrusting.sign_ins.suspect(&who.name));
    let outcomes = controller
        .with_config(controller::Config::default().concurrency(ACCOUNT_CONCURRENCY))
        .reconcile_on(concerned::by_secret(&shared, store.clone()))
        .reconcile_on(suspects)
        .reconcile_on(used)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(account::reconcile, never_fails, ctx);
    drain(outcomes, |_, gone| {
        // Another one of that name may be there already.
        if store.get(&ObjectRef::new(gone)).is_some() {
            return;
        }
        account::forget(&forgetting, gone);
        shared.accounts.forget(gone);
        shared
            .notices
            .concerns(Concerned::ByAccount(gone.to_owned()));
    })
    .await;
}

async fn run_roles(
    controller: Controller<AwsRole>,
    shared: Arc<Context>,
    counted: UnboundedReceiver<ObjectRef<AwsRole>>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    // A watch of its own: as one of the controller's it would slow down the watch
    // on roles each time that it fails.
    let by_account = concerned::by_account(&shared, controller.store());
    let notices = shared.notices.clone();
    // The cache fills before the accounts are signed in to; roles are judged
    // after that.
    let signed_in = stop
        .clone()
        .run_until_cancelled_owned(async move { readiness.wait(SIGN_IN).await })
        .map(drop)
        .boxed()
        .shared();
    let ctx = Arc::new(RoleContext {
        shared,
        signed_in,
        known: parking_lot::Mutex::default(),
    });
    let outcomes = controller
        .with_config(controller::Config::default().concurrency(8))
        .reconcile_on(by_account)
        .reconcile_on(counted)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(role::reconcile, never_fails, ctx);
    drain(outcomes, |_, gone| {
        notices.concerns(Concerned::ByRole(gone.to_owned()));
    })
    .await;
}

async fn run_requests(
    controller: Controller<Filed>,
    ctx: Arc<Context>,
    concerned: UnboundedReceiver<Concerned>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let store = controller.store();
    let secrets = ctx.secrets.follow(&ctx.scope, &ctx.client, &ctx.metrics);
    // The Secrets' watch has to run for the index to fill, and the controller
    // polls it only once it runs itself.
    let (changed, changes) = futures::channel::mpsc::unbounded();
    let follow = tokio::spawn(secrets.map(Ok).forward(changed));
    let started = async {
        ctx.secrets.synced(&ctx.scope, &ctx.client).await;
        readiness.reached(SECRETS);
        readiness.wait(ROLES).await;
        readiness.wait(SIGN_IN).await;
    };
    if stop.run_until_cancelled(started).await.is_none() {
        return follow.abort();
    }
    let concerned = concerned::requests(concerned, store, ctx.roles.clone());
    let relabelled = relabelled::tell(ctx.client.clone(), ctx.notices.clone(), ctx.metrics.clone());
    let relabelled = tokio::spawn(relabelled);
    let outcomes = controller
        .with_config(controller::Config::default().concurrency(REQUEST_CONCURRENCY))
        .reconcile_on(concerned)
        .reconcile_on(changes)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(request::reconcile, never_fails, ctx.clone());
    drain(outcomes, |namespace, name| {
        ctx.waiting_room.leave(namespace, name);
        ctx.desk.forget(namespace, name);
        // A session has no finalizer: its request just vanishes.
        if let Some(role) = ctx.ledger.leave(namespace, name) {
            ctx.notices.counted(&role, None);
            ctx.notices.concerns(Concerned::Waiting(role));
        }
    })
    .await;
    follow.abort();
    relabelled.abort();
}

/// Reconciliations cannot fail, only end in a requeue of their own choosing.
fn never_fails<K, C>(_: Arc<K>, error: &Infallible, _: Arc<C>) -> Action {
    match *error {}
}

/// The one place where a controller's output ends: nothing is dropped
/// unseen.
async fn drain<K>(
    outcomes: impl Stream<
        Item = Result<(ObjectRef<K>, Action), controller::Error<Infallible, watcher::Error>>,
    >,
    gone: impl Fn(&str, &str),
) where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut outcomes = std::pin::pin!(outcomes);
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(_) => {}
            Err(controller::Error::ObjectNotFound(who)) => {
                gone(who.namespace.as_deref().unwrap_or_default(), &who.name);
            }
            // Counted and told where it failed.
            Err(controller::Error::QueueError(_)) => {}
            Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "controller error"),
        }
    }
}
