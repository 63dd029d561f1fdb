//! Roles: whether they can be served, told in their status.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::controller::Action;

use super::context::Context;
use crate::act::FIELD_MANAGER;
use crate::api::AwsRole;
use crate::plan;

/// When to try again after the API server did not take the status.
const RETRY: Duration = Duration::from_secs(5);

/// Judges one role.
///
/// # Errors
/// None: failures are logged and counted here.
pub async fn reconcile(role: Arc<AwsRole>, ctx: Arc<Context>) -> Result<Action, Infallible> {
    let account = ctx.accounts.view(&role.spec.account_ref.name);
    let status = plan::role::status(&role, &account, Timestamp::now());
    if role.status.as_ref() == Some(&status) {
        return Ok(Action::await_change());
    }
    let api: Api<AwsRole> = Api::all(ctx.client.clone());
    let mut updated = (*role).clone();
    updated.status = Some(status);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let call = api.replace_status(name, &params, &updated);
    match ctx.hands.calls.make("report_role", call).await {
        Ok(_) => {
            ctx.metrics.reconcile("role", "ok");
            Ok(Action::await_change())
        }
        Err(fault) => {
            tracing::info!(
                role = name,
                error = fault.message,
                "role status not written"
            );
            ctx.metrics.reconcile("role", "stalled");
            Ok(Action::requeue(RETRY))
        }
    }
}
