//! Effects on an account.

use kube::Api;

use super::{Hands, write_status};
use keylease_api::decode::Lenient;
use keylease_api::{AwsAccount, AwsAccountStatus};
use keylease_core::plan::effect::{Fault, FaultClass};

/// Writes that may meet another's before one is given up.
const ATTEMPTS: usize = 5;

impl Hands {
    /// Changes the account's status, starting from what it is now, and writes
    /// nothing where nothing changes. Another account of the same name is left
    /// as it is. Several tell something of an account, so a conflict is tried
    /// again with what is there then.
    ///
    /// # Errors
    /// The fault of the call that failed.
    pub async fn report_account(
        &self,
        account: &AwsAccount,
        mut change: impl FnMut(&mut AwsAccountStatus),
    ) -> Result<(), Fault> {
        let mut result = Ok(());
        for _ in 0..ATTEMPTS {
            result = self.report_once(account, &mut change).await;
            if !matches!(&result, Err(fault) if fault.class == FaultClass::Stale) {
                break;
            }
        }
        result
    }

    async fn report_once(
        &self,
        account: &AwsAccount,
        change: &mut impl FnMut(&mut AwsAccountStatus),
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
