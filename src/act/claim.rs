//! The claim on a static user, in the status of its role. The write carries the
//! version it was decided on, so of two requests one gets the user.

use std::sync::Arc;

use kube::Api;

use super::{Hands, write_status};
use keylease_api::Holder;
use keylease_core::plan::effect::{Fault, FaultClass, Outcome};
use keylease_core::plan::view::RoleView;

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
        let mut status = role.status.clone().unwrap_or_default();
        status.holder = holder.cloned();
        let api = Api::all(self.client.clone());
        let written = write_status(&self.calls, "claim", &api, role.as_ref(), status).await?;
        Ok(Outcome::Role(Arc::new(written)))
    }
}
