//! Keylease as a platform team meets it: installed with Helm into a cluster
//! whose node runs pods, with an application that uses its key against AWS's
//! stand-in, up to the day when it is uninstalled.
//!
//! `make e2e` runs it on a node of its own (`tools/node`), `make e2e-kind` on
//! whatever cluster `KUBECONFIG` names. Run in another way it says that it was
//! skipped.

// Clippy knows test functions, and not that everything here serves them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod application;
mod aws;
mod bed;
mod cluster;
mod confinement;
mod expiry;
mod install;
mod leader;
mod rotation;
mod uninstall;

use std::time::Instant;

use anyhow::Result;

use crate::bed::Bed;

/// One story and not many tests: each chapter goes on where the last one ended,
/// as in a real cluster.
#[tokio::test(flavor = "multi_thread")]
async fn from_install_to_uninstall() -> Result<()> {
    let began = Instant::now();
    let Some(bed) = Bed::start().await? else {
        return Ok(());
    };
    tell(began, "cluster, node and AWS are there");
    let told = story(&bed, began).await;
    if told.is_err() {
        bed.show_what_is_there().await;
    }
    told
}

async fn story(bed: &Bed, began: Instant) -> Result<()> {
    install::with_the_chart(bed).await?;
    tell(began, "installed");
    confinement::operator_is_confined(bed).await?;
    tell(began, "the operator is confined");
    application::uses_its_key(bed).await?;
    tell(began, "the application uses its key");
    install::is_tested(bed).await?;
    tell(began, "helm test passed");
    rotation::reaches_file_and_deployment(bed).await?;
    tell(began, "rotated");
    leader::is_replaced(bed).await?;
    tell(began, "the leader was replaced");
    expiry::ends_the_key(bed).await?;
    tell(began, "a lease expired");
    uninstall::in_the_wrong_order_loses_nothing(bed).await?;
    tell(began, "uninstalled too early, and installed again");
    uninstall::leaves_nothing_in_aws(bed).await?;
    tell(began, "uninstalled");
    Ok(())
}

/// One line of progress, with the time since the start.
fn tell(began: Instant, what: &str) {
    println!("[{:5.1} s] {what}", began.elapsed().as_secs_f64());
}
