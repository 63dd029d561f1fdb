//! What AWS itself or a responder did to our users. Only reads.

use std::collections::BTreeSet;

use aws_sdk_iam::types::{EntityType, StatusType};

use super::Session;
use crate::plan::effect::{Fault, FaultClass};
use crate::plan::standing::{QUARANTINES, Standing};

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
        let mut policies = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let call = self.iam.list_attached_user_policies().user_name(user);
            let call = call.set_marker(marker.take()).send();
            let page = match self.calls.iam("ListAttachedUserPolicies", call).await {
                // Under a policy of before there were such looks. The next key
                // does not wait for somebody to print it anew.
                Err(fault) if fault.class == FaultClass::AccessDenied => {
                    return Ok(Standing::of(key, &keys, &[]));
                }
                page => page?,
            };
            let attached = page.attached_policies.unwrap_or_default().into_iter();
            policies.extend(attached.filter_map(|p| p.policy_arn));
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                return Ok(Standing::of(key, &keys, &policies));
            }
        }
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
        let mut marker: Option<String> = None;
        loop {
            let call = self.iam.list_entities_for_policy().policy_arn(&arn);
            let call = call.entity_filter(EntityType::User).path_prefix(path);
            let call = call.max_items(PAGE).set_marker(marker.take()).send();
            let page = self.calls.iam("ListEntitiesForPolicy", call).await?;
            let users = page.policy_users.unwrap_or_default().into_iter();
            found.extend(users.filter_map(|user| user.user_name));
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                return Ok(found);
            }
        }
    }
}
