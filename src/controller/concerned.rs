//! Whom it concerns: from what happened to the objects to be looked at again.

use std::collections::HashSet;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};

use super::context::{Concerned, Context};
use super::watches::{failed, watch_config};
use crate::cache::Filed;
use keylease_api::decode::Lenient;
use keylease_api::{AwsAccount, AwsRole, Phase};

/// Notices that are taken in together.
const NOTICES: usize = 1024;
/// Accounts that name a Secret of our namespace which just changed.
pub(super) fn by_secret(
    ctx: &Context,
    accounts: Store<AwsAccount>,
) -> impl Stream<Item = ObjectRef<AwsAccount>> + use<> {
    let api: Api<Lenient<PartialObjectMeta<Secret>>> =
        Api::namespaced(ctx.client.clone(), &ctx.namespace);
    let metrics = ctx.metrics.clone();
    watcher::watcher(api, watch_config())
        .default_backoff()
        .filter_map(move |event| {
            std::future::ready(match event {
                Ok(Event::Apply(s) | Event::InitApply(s) | Event::Delete(s)) => Some(s.name_any()),
                Ok(Event::Init | Event::InitDone) => None,
                Err(error) => {
                    failed(&metrics, "watch_account_secrets", &error);
                    None
                }
            })
        })
        .flat_map(move |secret| {
            let named = accounts.state().into_iter().filter(move |account| {
                let credentials = account.spec.credentials.as_ref();
                let secret_ref = credentials.and_then(|c| c.secret_ref.as_ref());
                secret_ref.is_some_and(|r| r.name == secret)
            });
            let refs: Vec<_> = named.map(|a| ObjectRef::from_obj(&*a)).collect();
            futures::stream::iter(refs)
        })
}

/// Roles of an account that just changed.
pub(super) fn by_account(
    ctx: &Context,
    roles: Store<AwsRole>,
) -> impl Stream<Item = ObjectRef<AwsRole>> + use<> {
    let api: Api<Lenient<PartialObjectMeta<AwsAccount>>> = Api::all(ctx.client.clone());
    let metrics = ctx.metrics.clone();
    watcher::watcher(api, watch_config())
        .default_backoff()
        .flat_map(move |event| {
            let account = match event {
                Ok(Event::Apply(a) | Event::InitApply(a) | Event::Delete(a)) => Some(a.name_any()),
                Ok(Event::Init | Event::InitDone) => None,
                Err(error) => {
                    failed(&metrics, "watch_accounts", &error);
                    None
                }
            };
            let names = account.map(|account| roles_of(&roles, &account));
            let names = names.into_iter().flatten();
            let refs: Vec<_> = names.map(|name| ObjectRef::new(&name)).collect();
            futures::stream::iter(refs)
        })
}

/// Requests that these notices concern.
pub(super) fn requests(
    notices: UnboundedReceiver<Concerned>,
    requests: Store<Filed>,
    roles: Store<AwsRole>,
) -> impl Stream<Item = ObjectRef<Filed>> {
    // A thousand leases that end together are one search, not a thousand.
    let distinct = notices.ready_chunks(NOTICES).flat_map(|notices| {
        let distinct: HashSet<_> = notices.into_iter().collect();
        futures::stream::iter(distinct)
    });
    distinct.flat_map(move |whom| {
        let found = match whom {
            Concerned::This(who) => vec![who],
            Concerned::ByRole(role) => of_roles(&requests, &[role], |_| true),
            Concerned::Relabelled(namespace) => refused_in(&requests, &namespace),
            Concerned::ByAccount(account) => {
                of_roles(&requests, &roles_of(&roles, &account), |_| true)
            }
            Concerned::Waiting(role) => {
                let role = roles.get(&ObjectRef::new(&role));
                let account = role.map(|r| r.spec.account_ref.name.clone());
                let roles = roles_of(&roles, &account.unwrap_or_default());
                of_roles(&requests, &roles, is_waiting)
            }
        };
        futures::stream::iter(found)
    })
}

/// Names of the roles of an account.
fn roles_of(roles: &Store<AwsRole>, account: &str) -> Vec<String> {
    let all = roles.state().into_iter();
    all.filter(|role| role.spec.account_ref.name == account)
        .map(|role| role.name_any())
        .collect()
}

fn of_roles(
    requests: &Store<Filed>,
    roles: &[String],
    wanted: impl Fn(&Filed) -> bool,
) -> Vec<ObjectRef<Filed>> {
    let all = requests.state().into_iter();
    let named = |r: &Filed| roles.iter().any(|role| **role == *r.glance.role);
    all.filter(|request| named(request) && wanted(request))
        .map(|request| ObjectRef::from_obj(&*request))
        .collect()
}

/// Requests of a namespace that its labels may have kept from being served.
fn refused_in(requests: &Store<Filed>, namespace: &str) -> Vec<ObjectRef<Filed>> {
    let all = requests.state().into_iter();
    all.filter(|r| r.glance.phase == Some(Phase::Failed))
        .filter(|r| r.namespace_name() == namespace)
        .map(|request| ObjectRef::from_obj(&*request))
        .collect()
}

fn is_waiting(request: &Filed) -> bool {
    request.glance.phase == Some(Phase::Pending)
}
