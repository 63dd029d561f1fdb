//! Effects on an account.

use kube::Api;

use super::{Hands, write_status};
use keylease_api::decode::Lenient;
use keylease_api::{AwsAccount, AwsAccountStatus};
use keylease_core::plan::effect::{Fault, FaultClass};

/// Writes that may meet another's before one is given up.
const ATTEMPTS: usize = 5;

/// A read and a write, once more where another's write came between.
#[derive(Default)]
pub(super) struct Attempts(usize);

impl Attempts {
    /// Whether to begin again with what is there now.
    pub(super) fn again(&mut self, result: &Result<(), Fault>) -> bool {
        self.0 += 1;
        let stale = matches!(result, Err(fault) if fault.class == FaultClass::Stale);
        stale && self.0 < ATTEMPTS
    }
}

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
        let mut attempts = Attempts::default();
        loop {
            let result = self.report_once(account, &mut change).await;
            if !attempts.again(&result) {
                return result;
            }
        }
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
