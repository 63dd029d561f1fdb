//! Effects on an account.

use kube::Api;
use kube::api::PostParams;

use super::{FIELD_MANAGER, Hands};
use crate::api::{AwsAccount, AwsAccountStatus};
use crate::plan::effect::Fault;

impl Hands {
    /// Changes the account's status, starting from what it is now, and writes
    /// nothing where nothing changes. Another account of the same name is left
    /// as it is.
    ///
    /// # Errors
    /// The fault of the call that failed, a conflict among them: whoever tells
    /// something of an account comes again.
    pub async fn report_account(
        &self,
        account: &AwsAccount,
        change: impl FnOnce(&mut AwsAccountStatus),
    ) -> Result<(), Fault> {
        let api: Api<AwsAccount> = Api::all(self.client.clone());
        let name = account.metadata.name.as_deref().unwrap_or_default();
        let mut current = self.calls.make("get_account", api.get(name)).await?;
        let mut status = current.status.clone().unwrap_or_default();
        change(&mut status);
        let same = current.status.as_ref() == Some(&status);
        if same || current.metadata.uid != account.metadata.uid {
            return Ok(());
        }
        current.status = Some(status);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let call = api.replace_status(name, &params, &current);
        self.calls.make("report_account", call).await.map(drop)
    }
}
