//! The two questions to the API server.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{
    TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo,
};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Semaphore;

use super::verdict::Deed;
use crate::act::KubeCalls;
use keylease_core::plan::effect::Fault;

/// How long one question may take. Two of them are less than the 10 s that
/// Prometheus waits for a scrape.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(4);
/// Questions under way at most. Whoever reaches the port can cause one with any
/// token, and the API server is shared with the operator's work.
const AT_ONCE: usize = 4;

/// Asks the API server who somebody is and what they may do.
pub struct Reviewer {
    client: Client,
    calls: KubeCalls,
    places: Semaphore,
}

impl Reviewer {
    /// One that asks with this client. The calls must not depend on leading: a
    /// standby has metrics too.
    pub fn new(client: Client, calls: KubeCalls) -> Self {
        Self {
            client,
            calls,
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// The classified fault, also when no place was free in time.
    pub async fn identity(&self, token: &str) -> Result<TokenReviewStatus, Fault> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let answer = self.ask("review_token", &review).await?;
        Ok(answer.status.unwrap_or_default())
    }

    /// Whether that user may do this.
    ///
    /// # Errors
    /// As for [`Reviewer::identity`].
    pub async fn right(
        &self,
        user: UserInfo,
        deed: &Deed,
    ) -> Result<SubjectAccessReviewStatus, Fault> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username,
                groups: user.groups,
                uid: user.uid,
                extra: user.extra,
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(deed.path.clone()),
                    verb: Some(deed.verb.to_owned()),
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = self.ask("review_access", &review).await?;
        Ok(answer.status.unwrap_or_default())
    }

    async fn ask<K>(&self, operation: &'static str, review: &K) -> Result<K, Fault>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let question = async {
            // The semaphore is never closed; without a place there is a limit in
            // time all the same.
            let _place = self.places.acquire().await;
            api.create(&PostParams::default(), review).await
        };
        self.calls
            .make_within(REVIEW_TIMEOUT, operation, question)
            .await
    }
}
