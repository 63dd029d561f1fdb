//! IAM's credential report.

use std::time::Duration;

use aws_sdk_iam::types::ReportStateType;
use jiff::Timestamp;

use super::Session;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::sweep::report::CredentialReport;

/// How often AWS is asked whether the report is made, before the next sweep is
/// left to ask again. It takes seconds, in large accounts a minute.
const TRIES: usize = 30;
/// The pause between.
const PAUSE: Duration = Duration::from_secs(2);

impl Session {
    /// The report: AWS's last one, if that is less than four hours old, else a
    /// new one.
    ///
    /// # Errors
    /// The fault of the call that failed; `Unavailable` when the report is not
    /// ready in time.
    pub async fn credential_report(&self) -> Result<CredentialReport, Fault> {
        for tries_left in (0..TRIES).rev() {
            let call = self.iam.generate_credential_report().send();
            let answer = self.calls.iam("GenerateCredentialReport", call).await?;
            if answer.state == Some(ReportStateType::Complete) {
                return self.fetch_report().await;
            }
            if tries_left > 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Err(unreadable("AWS has not finished it in time"))
    }

    async fn fetch_report(&self) -> Result<CredentialReport, Fault> {
        let call = self.iam.get_credential_report().send();
        let answer = self.calls.iam("GetCredentialReport", call).await?;
        let generated = answer.generated_time.map(|t| t.secs());
        let generated = generated.and_then(|s| Timestamp::from_second(s).ok());
        let (Some(csv), Some(generated)) = (answer.content, generated) else {
            return Err(unreadable("the answer holds no report"));
        };
        CredentialReport::read(csv.as_ref(), generated).map_err(|e| unreadable(&e.to_string()))
    }
}

fn unreadable(message: &str) -> Fault {
    Fault {
        class: FaultClass::Unavailable,
        message: message.to_owned(),
    }
}
