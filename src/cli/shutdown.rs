//! From the wish to stop to the end of the process, step by step:
//!
//! | after | what |
//! | --- | --- |
//! | 0 s | nothing new is taken up; what is under way goes on |
//! | [`FINISH`] | no further step; keys in hand are deleted |
//! | + [`HAND_OVER`] | calls that still have no answer are given up |
//! | then | the Lease is given up |
//!
//! An instance that lost the Lease begins with the second line. Together it is
//! less than `terminationGracePeriodSeconds` in the chart's Deployment.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use keylease_core::time::CALL_TIMEOUT;

/// How long what is under way may go on: longer than most keys need to be
/// accepted.
const FINISH: Duration = Duration::from_secs(12);
/// How long a last call and the deletion of a key may take after that.
const HAND_OVER: Duration = CALL_TIMEOUT.saturating_add(Duration::from_secs(3));

/// A token that is cancelled when no further step may be taken: some time after
/// `stop`, or as soon as leadership is lost, which stops everything too.
pub(super) fn watch(stop: CancellationToken, lost: CancellationToken) -> CancellationToken {
    let hand_over = CancellationToken::new();
    let token = hand_over.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = lost.cancelled() => {}
            () = async {
                stop.cancelled().await;
                tokio::time::sleep(FINISH).await;
            } => {}
        }
        stop.cancel();
        token.cancel();
    });
    hand_over
}

/// Runs `work`, but not for ever once it was told to hand over.
pub(super) async fn bounded(work: impl Future<Output = ()>, hand_over: &CancellationToken) {
    let limit = async {
        hand_over.cancelled().await;
        tokio::time::sleep(HAND_OVER).await;
    };
    tokio::select! {
        () = work => {}
        () = limit => tracing::warn!("calls without an answer are given up"),
    }
}

/// One signal for the whole process: SIGTERM from Kubernetes, SIGINT from a
/// terminal.
pub(super) fn on_signal() -> Result<CancellationToken, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|e| format!("cannot listen for signals: {e}"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: what is under way is finished or handed over");
        token.cancel();
    });
    Ok(stop)
}
