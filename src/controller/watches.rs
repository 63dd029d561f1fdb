//! The watches that fill the caches.

use std::fmt::Debug;

use futures::TryStreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::Controller;
use kube::runtime::reflector;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::scope::Scope;
use crate::cache::{Filed, slim};
use crate::health::Readiness;
use crate::metrics::Metrics;
use keylease_api::decode::Lenient;
use keylease_core::plan::effect::FaultClass;

/// Length of a watch before it is renewed: below the idle limits of common
/// load balancers.
const WATCH_TIMEOUT_SECONDS: u32 = 200;

/// Objects of one answer to a list. What is not kept of them is in memory until
/// the next answer, so the largest answer is what a start costs.
const PAGE: u32 = 100;

/// How everything is watched.
pub(super) fn watch_config() -> watcher::Config {
    let config = watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS);
    config.page_size(PAGE)
}

/// Counts a watch that failed among the calls, so that a missing right shows
/// where those of other calls do, and says so in the log. It is started again.
pub(super) fn failed(metrics: &Metrics, operation: &'static str, error: &watcher::Error) {
    let api = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    };
    let outcome = match api {
        Some(401) => FaultClass::BadCredentials,
        Some(403) => FaultClass::AccessDenied,
        Some(404) => FaultClass::NotFound,
        // What a watch is told when its version is too old: it lists anew.
        Some(410) => FaultClass::Stale,
        Some(429) => FaultClass::Throttled,
        Some(_) => FaultClass::Unavailable,
        None => FaultClass::NoAnswer,
    };
    metrics.call("kubernetes", operation, outcome.as_str());
    tracing::warn!(operation, %error, "a watch stopped; it is started again");
}

/// A controller whose watch is written into a cache, and noted when that is
/// filled; what is not wanted is left out. Objects are read as `W`, a type that
/// decodes whatever the API server holds, and kept as `K`.
///
/// The stream is our own for two reasons. `Store::wait_until_ready` wakes one
/// waiter only, and the controller is one already; and the stream that
/// `Controller::new` makes leaves deletions out, which is how an account is
/// forgotten.
pub(super) fn watched<W, K>(
    client: &Client,
    metrics: &Metrics,
    operation: &'static str,
    part: &'static str,
    readiness: &Readiness,
    open: fn(Event<W>) -> Event<K>,
    wanted: impl Fn(&K) -> bool + Send + 'static,
) -> Controller<K>
where
    W: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    readiness.expect(part);
    let readiness = readiness.clone();
    let (reader, writer) = reflector::store();
    let events = watcher::watcher(Api::all(client.clone()), watch_config())
        .map_ok(open)
        .try_filter(move |event| std::future::ready(object_of(event).is_none_or(&wanted)))
        .modify(slim)
        .reflect(writer);
    let events = events.inspect_ok(move |event| {
        if matches!(event, Event::InitDone) {
            readiness.reached(part);
        }
    });
    let metrics = metrics.clone();
    let events = events.inspect_err(move |error| failed(&metrics, operation, error));
    Controller::for_stream(events.touched_objects(), reader)
}

/// An event of a watch, with the object taken out of the wrapper.
pub(super) fn each<K>(event: Event<Lenient<K>>) -> Event<K> {
    match event {
        Event::Apply(Lenient(object)) => Event::Apply(object),
        Event::Delete(Lenient(object)) => Event::Delete(object),
        Event::InitApply(Lenient(object)) => Event::InitApply(object),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

/// The object that an event is about.
fn object_of<K>(event: &Event<K>) -> Option<&K> {
    match event {
        Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => Some(object),
        Event::Init | Event::InitDone => None,
    }
}

/// Whether this request is ours to serve. One that is not, and that AWS holds
/// something for, is told.
pub(super) fn is_served(request: &Filed, scope: &Scope) -> bool {
    let namespace = request.namespace_name();
    let served = scope.covers(namespace);
    if !served && request.glance.holds {
        tracing::warn!(
            namespace,
            request = request.name_any(),
            "AWS holds something for a request whose namespace is not watched: nobody ends it"
        );
    }
    served
}
