//! The claim on a static user, in the status of its role. The write carries the
//! version it was decided on, so of two requests one gets the user.

use std::sync::Arc;

use kube::Api;
use kube::api::PostParams;

use super::{FIELD_MANAGER, Hands};
use crate::api::{AwsRole, Holder};
use crate::plan::effect::{Fault, FaultClass, Outcome};
use crate::plan::view::RoleView;

impl Hands {
    /// Writes who holds the role's user.
    pub(super) async fn claim(
        &self,
        role: &RoleView,
        holder: Option<&Holder>,
    ) -> Result<Outcome, Fault> {
        let (RoleView::Found(role) | RoleView::Leaving(role)) = role else {
            return Err(Fault {
                class: FaultClass::NotFound,
                message: "the role was not read".to_owned(),
            });
        };
        let mut updated = AwsRole::clone(role);
        updated.status.get_or_insert_default().holder = holder.cloned();
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let api: Api<AwsRole> = Api::all(self.client.clone());
        let name = role.metadata.name.as_deref().unwrap_or_default();
        let call = api.replace_status(name, &params, &updated);
        let written = self.calls.make("claim", call).await?;
        Ok(Outcome::Role(Arc::new(written)))
    }
}
