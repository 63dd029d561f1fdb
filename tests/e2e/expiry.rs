//! Expiry: a lease ends under a running application.

use anyhow::{Result, ensure};

use crate::bed::{Bed, SHOP, SOON, quote};

/// The pod keeps the file that it has; the key in it is dead.
pub async fn ends_the_key(bed: &Bed) -> Result<()> {
    let app = bed.served("app").await?;
    bed.cluster
        .apply(include_str!("manifests/brief.yaml"))
        .await?;
    let brief = bed.served("brief").await?;
    let works = format!("arn={}", brief.arn);
    bed.written("pod/brief", &works, SOON).await?;

    bed.in_phase("brief", "Expired").await?;
    bed.users_are(&[&app.user]).await?;
    // Without the error code: moto answers in a form that the SDK finds none in.
    let refused = format!("key={} refused", brief.key);
    quote(
        "pod/brief",
        &bed.written("pod/brief", &refused, SOON).await?,
    );
    let left = bed
        .cluster
        .kubectl(&["get", "secret", "brief", "-n", SHOP, "--ignore-not-found"])
        .await?;
    ensure!(left.is_empty(), "{left}");
    Ok(())
}
