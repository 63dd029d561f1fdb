//! Effects on an account.

use kube::Api;

use super::{Hands, write_status};
use crate::api::{AwsAccount, AwsAccountStatus};
use crate::decode::Lenient;
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
        let api: Api<Lenient<AwsAccount>> = Api::all(self.client.clone());
        let name = account.metadata.name.as_deref().unwrap_or_default();
        let Lenient(current) = self.calls.make("get_account", api.get(name)).await?;
        let mut status = current.status.clone().unwrap_or_default();
        change(&mut status);
        let same = current.status.as_ref() == Some(&status);
        if same || current.metadata.uid != account.metadata.uid {
            return Ok(());
        }
        let write = write_status(&self.calls, "report_account", &api, &current, status);
        write.await.map(drop)
    }
}
