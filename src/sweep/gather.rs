//! What a sweep reads: users and the credential report from AWS, then requests
//! straight from the API server.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;

use super::Sweeper;
use crate::act::Hands;
use crate::aws::Session;
use crate::observe::cluster_id;
use keylease_api::AwsCredentialRequest;
use keylease_api::decode::Lenient;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::naming::is_marker_name;
use keylease_core::plan::sweep::census::Census;
use keylease_core::plan::sweep::status::ReportState;
use keylease_core::plan::sweep::{ListedUser, Picture, swept_path};

/// Requests on a page of the list.
const PAGE: u32 = 500;

/// What was read.
pub struct Gathered {
    /// For the judgement.
    pub picture: Picture,
    /// Whether there was a credential report.
    pub report: ReportState,
}

/// All but the marker of the cluster's identity, which belongs to no request.
fn leased(mut users: Vec<ListedUser>) -> Vec<ListedUser> {
    users.retain(|user| !is_marker_name(&user.name));
    users
}

impl Sweeper {
    /// Reads everything that a sweep of this account judges.
    ///
    /// A credential report that is not to be had is no fault: the sweep goes on
    /// without.
    ///
    /// # Errors
    /// The fault of the read that failed; `Refused` when the API server turns
    /// out to be another cluster's.
    pub async fn gather(&self, session: &Session) -> Result<Gathered, Fault> {
        let path = swept_path(&session.facts.path, &self.cluster);
        // First, because it may take a minute to make.
        let (report, state) = match session.credential_report().await {
            Ok(report) => (Some(report), ReportState::Read),
            Err(fault) => (None, ReportState::Missing(fault.message)),
        };
        let listed_at = Timestamp::now();
        let users = leased(session.list_users(&path).await?);
        let quarantined = session.quarantined_users(&path).await;
        let quarantined = quarantined.unwrap_or_else(|fault| {
            // Counted as a call that failed; the rest is swept all the same.
            tracing::warn!(error = fault.message, "who is in quarantine is not known");
            BTreeSet::new()
        });
        let census = self.census().await?;
        let mut picture = Picture {
            account_id: session.facts.account_id.clone(),
            path,
            listed_at,
            users,
            census,
            quarantined,
            report,
        };
        if picture.has_unclaimed() {
            let path = picture.path.clone();
            picture.keep_those_on(&session.list_users(&path).await?);
        }
        let report = state;
        Ok(Gathered { picture, report })
    }

    /// All requests, in one consistent list of the newest state: no
    /// `resourceVersion` is named, so the API server may not answer from its
    /// cache. That it is our cluster's is asked too.
    async fn census(&self) -> Result<Census, Fault> {
        let Hands { client, calls, .. } = &self.hands;
        if cluster_id(client, calls).await? != self.cluster {
            return Err(Fault {
                class: FaultClass::Refused,
                message: "the API server is another cluster's than at the start".to_owned(),
            });
        }
        let api: Api<Lenient<AwsCredentialRequest>> = Api::all(client.clone());
        let mut census = Census::default();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = calls.make("list_requests", api.list(&params)).await?;
            page.items.iter().for_each(|r| census.add(r, &self.cluster));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(census),
            }
        }
    }
}
