//! The marker of the cluster's identity: a user without a key, of which only the
//! tags matter. What they mean is in `plan::identity`.

use aws_sdk_iam::types::Tag;
use jiff::SignedDuration;

use super::Session;
use super::users::{facts, tag};
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::identity::{Epoch, Marker};
use keylease_core::plan::naming::{
    ClusterId, TAG_CALL, TAG_CLUSTER, TAG_EPOCH, TAG_KNOCK, TAG_VALID, marker_name, user_path,
};

impl Session {
    /// `GetUser`: the marker, if there is one.
    pub async fn marker(&self, cluster: &ClusterId) -> Result<Option<Marker>, Fault> {
        let name = marker_name(cluster, &self.facts.path);
        let call = self.identity.get_user().user_name(name).send();
        let answer = match self.calls.iam("GetUser", call).await {
            Ok(answer) => answer,
            Err(fault) if is_gone(&fault) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let user = answer.user.map(facts);
        let user = user.ok_or_else(|| super::error::incomplete("user"))?;
        let tag = |key| user.tags.get(key).filter(|value| !value.is_empty());
        let valid = tag(TAG_VALID).and_then(|millis| millis.parse().ok());
        Ok(Some(Marker {
            epoch: tag(TAG_EPOCH).and_then(|text| text.parse().ok()),
            knock: tag(TAG_KNOCK).cloned(),
            call: tag(TAG_CALL).cloned(),
            valid: SignedDuration::from_millis(valid.unwrap_or(0)),
        }))
    }

    /// `CreateUser`, which fails if there is a marker. It has the boundary of
    /// users, because a policy may demand it.
    pub async fn create_marker(
        &self,
        cluster: &ClusterId,
        epoch: &Epoch,
        valid: SignedDuration,
    ) -> Result<(), Fault> {
        let mut tags = claim(epoch, valid)?;
        tags.push(tag(TAG_CLUSTER, &cluster.0)?);
        let call = self
            .identity
            .create_user()
            .user_name(marker_name(cluster, &self.facts.path))
            .path(user_path(&self.facts.path, cluster, ""))
            .set_permissions_boundary(self.facts.boundary.clone())
            .set_tags(Some(tags))
            .send();
        self.calls.iam("CreateUser", call).await.map(drop)
    }

    /// Writes an epoch into the marker.
    pub async fn claim_marker(
        &self,
        cluster: &ClusterId,
        epoch: &Epoch,
        valid: SignedDuration,
    ) -> Result<(), Fault> {
        self.tag_marker(cluster, claim(epoch, valid)?).await
    }

    /// Writes a knock into the marker.
    pub async fn knock_at_marker(&self, cluster: &ClusterId, knock: &str) -> Result<(), Fault> {
        self.tag_marker(cluster, vec![tag(TAG_KNOCK, knock)?]).await
    }

    /// Says that a cluster that stopped is there.
    pub async fn call_at_marker(&self, cluster: &ClusterId, call: &str) -> Result<(), Fault> {
        self.tag_marker(cluster, vec![tag(TAG_CALL, call)?]).await
    }

    async fn tag_marker(&self, cluster: &ClusterId, tags: Vec<Tag>) -> Result<(), Fault> {
        let name = marker_name(cluster, &self.facts.path);
        let call = self.identity.tag_user().user_name(name);
        let call = call.set_tags(Some(tags)).send();
        self.calls.iam("TagUser", call).await.map(drop)
    }

    /// Removes the marker.
    pub async fn remove_marker(&self, cluster: &ClusterId) -> Result<(), Fault> {
        let name = marker_name(cluster, &self.facts.path);
        let call = self.identity.delete_user().user_name(name).send();
        match self.calls.iam("DeleteUser", call).await {
            Err(fault) if !is_gone(&fault) => Err(fault),
            _ => Ok(()),
        }
    }
}

/// AWS finds no marker. Under a policy that is confined to a path it denies to
/// know a user that it does not find.
fn is_gone(fault: &Fault) -> bool {
    matches!(fault.class, FaultClass::NotFound | FaultClass::Unseen)
}

fn claim(epoch: &Epoch, valid: SignedDuration) -> Result<Vec<Tag>, Fault> {
    let valid = valid.as_millis().to_string();
    Ok(vec![
        tag(TAG_EPOCH, &epoch.to_string())?,
        tag(TAG_VALID, &valid)?,
    ])
}
