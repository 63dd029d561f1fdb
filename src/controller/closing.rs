//! The end of the process. kube-rs lets reconciliations that run come to their
//! end; but a key may be in hand between two of them, while AWS gets to know
//! it, and would be lost.

use futures::StreamExt;

use super::context::Context;
use super::request;

/// Takes every request with a key in hand on until the key is in its Secret or
/// deleted, as many at a time as given. The controllers must have ended: a
/// request is never worked on twice at a time.
pub(super) async fn finish(ctx: &Context, concurrency: u16) {
    let open = ctx.requests.state().into_iter();
    let open = open.filter(|r| ctx.desk.holds_key(r.uid_str()));
    futures::stream::iter(open)
        .for_each_concurrent(usize::from(concurrency), |request| async move {
            loop {
                // Told to hand over, this gives the key back.
                let pause = request::take_up(&request, ctx).await;
                let open = ctx.desk.holds_key(request.uid_str());
                if !open || ctx.hand_over.is_cancelled() {
                    return;
                }
                let told = ctx.hand_over.cancelled();
                match pause {
                    Some(pause) => drop(tokio::time::timeout(pause, told).await),
                    None => told.await,
                }
            }
        })
        .await;
}
