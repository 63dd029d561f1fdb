//! Waiting for a request to change: a watch, never a poll.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::time::Instant;

use super::client::Session;
use super::error::Failure;
use super::progress::Progress;
use keylease_api::{AwsCredentialRequest, ConditionType, OnExpiry, Phase, get_condition};

/// What the state of a request means to the one who waits.
pub(super) enum Judgement<T> {
    /// It is there.
    Done(T),
    /// It will not come, and why.
    Never(String),
    /// Not yet; this is what the progress line says.
    NotYet(String),
}

/// How long somebody waits, over all steps of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    total: Duration,
    until: Option<Instant>,
}

impl Patience {
    /// From now on that long.
    pub fn of(total: Duration) -> Self {
        Self {
            total,
            until: Instant::now().checked_add(total),
        }
    }

    /// Without an end.
    pub fn endless() -> Self {
        Self::of(Duration::MAX)
    }

    /// The first four fifths of what is left: something is to be done after it.
    pub fn most(self) -> Self {
        let left = self.left();
        let until = self.until.and_then(|at| at.checked_sub(left / 5));
        Self { until, ..self }
    }

    /// What is left of it.
    pub fn left(self) -> Duration {
        self.until.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    /// The end of it, and what it was waited for.
    pub fn over(self, last: &str) -> Failure {
        Failure::pending(format!("not done after {}: {last}", humane(self.total)))
    }

    /// Waits until it is over.
    pub async fn end(self) {
        match self.until {
            Some(_) => tokio::time::sleep(self.left()).await,
            None => std::future::pending().await,
        }
    }
}

/// Watches one request until `judge` is content. It is asked for `None` when
/// the request (this one, by uid) is no more.
pub(super) async fn until<T>(
    session: &Session,
    request: &AwsCredentialRequest,
    patience: Patience,
    mut judge: impl FnMut(Option<&AwsCredentialRequest>) -> Judgement<T>,
) -> Result<T, Failure> {
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let call = session.on_request("watch", name);
    let stream = watcher::watch_object(session.requests(), name).default_backoff();
    let mut stream = pin!(stream);
    let mut progress = Progress::new();
    let mut last = "nothing was heard of it".to_owned();
    let mut deadline = pin!(patience.end());
    loop {
        let seen = tokio::select! {
            seen = stream.next() => seen,
            () = &mut deadline => return Err(patience.over(&last)),
        };
        let seen = match seen {
            Some(Ok(seen)) => seen.filter(|r| r.metadata.uid == request.metadata.uid),
            // A right that is missing will not come by itself; all else may.
            Some(Err(error)) if is_refusal(&error) => return Err(call.watch_failed(&error)),
            Some(Err(error)) => {
                last = call.watch_failed(&error).sentence;
                progress.show(&last);
                continue;
            }
            None => return Err(Failure::new("the watch ended by itself")),
        };
        match judge(seen.as_deref()) {
            Judgement::Done(value) => return Ok(value),
            Judgement::Never(why) => return Err(Failure::new(why)),
            Judgement::NotYet(what) => {
                progress.show(&what);
                last = what;
            }
        }
    }
}

/// Whether waiting is of no use.
pub(super) fn is_refusal(error: &watcher::Error) -> bool {
    use watcher::Error as E;
    match error {
        E::InitialListFailed(kube::Error::Api(status))
        | E::WatchStartFailed(kube::Error::Api(status)) => {
            matches!(status.code, 401 | 403 | 404)
        }
        _ => false,
    }
}

fn humane(patience: Duration) -> String {
    jiff::SignedDuration::try_from(patience)
        .map_or_else(|_| format!("{patience:?}"), keylease_api::format_duration)
}

/// The `Ready` condition in one line: `Proving: the key was made and …`. A lease that
/// ended as asked has none; there it is `Revoked`.
pub(super) fn ready_line(request: &AwsCredentialRequest) -> String {
    let conditions = request.status.as_ref().map(|s| s.conditions.as_slice());
    let told = |kind| get_condition(conditions.unwrap_or_default(), kind);
    let ended = || told(ConditionType::Revoked).filter(|c| c.status == "True");
    match told(ConditionType::Ready).or_else(ended) {
        Some(ready) => format!("{}: {}", ready.reason, ready.message),
        None => "waiting for the operator (is it running? kubectl keylease doctor)".to_owned(),
    }
}

/// The phase, if the operator has said one.
pub(super) fn phase(request: &AwsCredentialRequest) -> Option<Phase> {
    request.status.as_ref()?.phase
}

/// Why a request that has no live lease will not do, if so. What is revoked may
/// be followed by another, where the request asks for that.
pub(super) fn lifeless(request: &AwsCredentialRequest) -> Option<String> {
    if request.metadata.deletion_timestamp.is_some() {
        return Some("the request is being deleted".to_owned());
    }
    let over = match phase(request) {
        Some(Phase::Failed | Phase::Expired | Phase::Revoked) => true,
        Some(Phase::Revoking) => request.spec.on_expiry != Some(OnExpiry::Rotate),
        _ => false,
    };
    over.then(|| ready_line(request))
}
