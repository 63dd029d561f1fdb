//! Whether the promises hold.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result, ensure};
use keylease_api::{AwsCredentialRequest, Phase};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::harness::{Bed, Namespace};

/// The final counts.
#[derive(Debug, Default)]
pub struct Found {
    live: usize,
    ended: usize,
    users: usize,
    keys: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            live,
            ended,
            users,
            keys,
        } = self;
        write!(
            f,
            "{live} live requests, {ended} ended ones, {users} users, {keys} keys, each in its Secret"
        )
    }
}

/// Compares every request with its Secret and its user, and the users with the
/// requests.
///
/// # Errors
/// What is not at rest yet, or wrong.
pub async fn at_rest(bed: &Bed, namespace: &Namespace) -> Result<Found> {
    let mut found = Found::default();
    let mut accounted = BTreeSet::new();
    let requests = namespace.requests().list(&ListParams::default()).await?;
    for request in requests {
        let name = request.name_any();
        let going = request.metadata.deletion_timestamp.is_some();
        ensure!(!going, "{name} is being deleted");
        let phase = request.status.as_ref().and_then(|s| s.phase);
        if let Some(Phase::Expired | Phase::Revoked) = phase {
            let secret = namespace.secret(&request.secret_name()).await?;
            ensure!(secret.is_none(), "{name} has ended and has a Secret");
            found.ended += 1;
            continue;
        }
        ensure!(phase == Some(Phase::Ready), "{name} is {phase:?}");
        let (user, keys) = served(bed, namespace, &request).await.context(name)?;
        accounted.insert(user);
        found.live += 1;
        found.keys += keys;
    }
    let users = bed.aws.users_under("/keylease/").into_iter();
    let users: BTreeSet<_> = users.map(|user| user.name).collect();
    let orphans: Vec<_> = users.difference(&accounted).collect();
    ensure!(
        orphans.is_empty(),
        "users that belong to nobody: {orphans:?}"
    );
    found.users = users.len();
    Ok(found)
}

/// The user of a live request, and how many keys it has.
async fn served(
    bed: &Bed,
    namespace: &Namespace,
    request: &AwsCredentialRequest,
) -> Result<(String, usize)> {
    let status = request.status.clone().context("no status")?;
    let shown = status.credential.context("no credential")?;
    let secret = namespace.secret(&request.secret_name()).await?;
    let secret = secret.context("no Secret")?;
    ensure!(
        secret["AWS_ACCESS_KEY_ID"] == shown.access_key_id,
        "the Secret holds another key than the status shows"
    );
    ensure!(
        bed.aws.secret_of(&shown.access_key_id).as_ref() == Some(&secret["AWS_SECRET_ACCESS_KEY"]),
        "the two halves of the key do not go together"
    );
    let name = shown.user_name.context("no user name")?;
    let user = bed.aws.user(&name).context("no user")?;
    let keys: BTreeSet<_> = user.keys.into_iter().map(|key| key.id).collect();
    let previous = status.previous.map(|p| p.access_key_id);
    let wanted: BTreeSet<_> = previous.into_iter().chain([shown.access_key_id]).collect();
    ensure!(keys == wanted, "on the user is {keys:?}, not {wanted:?}");
    Ok((name, keys.len()))
}
