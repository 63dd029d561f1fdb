//! What AWS itself or a responder did to our users. Only reads.

use std::collections::BTreeSet;

use aws_sdk_iam::operation::list_attached_user_policies::ListAttachedUserPoliciesOutput;
use aws_sdk_iam::operation::list_entities_for_policy::ListEntitiesForPolicyOutput;
use aws_sdk_iam::types::{EntityType, StatusType};

use super::Session;
use super::inventory::list;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::standing::{QUARANTINES, Standing};

/// Users on a page.
const PAGE: i32 = 1000;

impl Session {
    /// How this key of a user stands: `ListAccessKeys` and
    /// `ListAttachedUserPolicies`. A user that is gone is not out of service;
    /// others find that out.
    pub async fn standing(&self, user: &str, key: &str) -> Result<Standing, Fault> {
        match self.read_standing(user, key).await {
            Err(fault) if fault.class == FaultClass::NotFound => Ok(Standing::Good),
            answer => answer,
        }
    }

    async fn read_standing(&self, user: &str, key: &str) -> Result<Standing, Fault> {
        let call = self.iam.list_access_keys().user_name(user).send();
        let answer = self.calls.iam("ListAccessKeys", call).await?;
        let keys = answer.access_key_metadata.into_iter().filter_map(|key| {
            let active = key.status != Some(StatusType::Inactive);
            Some((key.access_key_id?, active))
        });
        let keys: Vec<_> = keys.collect();
        let policies = match self.policies_on(user).await {
            // Under a policy of before there were such looks. The next key does
            // not wait for somebody to print it anew.
            Err(fault) if fault.class == FaultClass::AccessDenied => Vec::new(),
            policies => policies?,
        };
        Ok(Standing::of(key, &keys, &policies))
    }

    /// ARNs of the managed policies on a user.
    async fn policies_on(&self, user: &str) -> Result<Vec<String>, Fault> {
        let mut found = Vec::new();
        list!(
            self,
            "ListAttachedUserPolicies",
            self.iam.list_attached_user_policies().user_name(user),
            |p: ListAttachedUserPoliciesOutput| p.attached_policies.unwrap_or_default(),
            |p| p.policy_arn,
            found
        );
        Ok(found)
    }

    /// Names of all users under the path that have one of AWS's quarantine
    /// policies: one call for each of these, however many users there are. A
    /// partition that does not have a policy has nobody in it.
    pub async fn quarantined_users(&self, path: &str) -> Result<BTreeSet<String>, Fault> {
        let mut found = BTreeSet::new();
        for policy in QUARANTINES {
            match self.users_with(policy, path).await {
                Ok(users) => found.extend(users),
                Err(fault) if fault.class == FaultClass::NotFound => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    }

    async fn users_with(&self, policy: &str, path: &str) -> Result<Vec<String>, Fault> {
        let arn = format!("arn:{}:iam::aws:policy/{policy}", self.facts.partition);
        let mut found = Vec::new();
        list!(
            self,
            "ListEntitiesForPolicy",
            self.iam
                .list_entities_for_policy()
                .policy_arn(&arn)
                .entity_filter(EntityType::User)
                .path_prefix(path)
                .max_items(PAGE),
            |p: ListEntitiesForPolicyOutput| p.policy_users.unwrap_or_default(),
            |user| user.user_name,
            found
        );
        Ok(found)
    }
}
