//! IAM groups: what their members may do, for sessions that carry it. Only
//! reads.

use percent_encoding::percent_decode_str;

use super::Session;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::session_spec::GroupPolicies;

impl Session {
    /// The policies of a group: those attached, by ARN, and the inline ones.
    ///
    /// # Errors
    /// The classified fault; there being no such group is one.
    pub async fn group_policies(&self, group: &str) -> Result<GroupPolicies, Fault> {
        let mut found = GroupPolicies::default();
        let mut marker = None;
        loop {
            let call = self
                .iam
                .list_attached_group_policies()
                .group_name(group)
                .set_marker(marker);
            let page = self
                .calls
                .iam("ListAttachedGroupPolicies", call.send())
                .await?;
            let attached = page.attached_policies.unwrap_or_default();
            found
                .arns
                .extend(attached.into_iter().filter_map(|p| p.policy_arn));
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                break;
            }
        }
        for name in self.inline_policies(group).await? {
            let call = self
                .iam
                .get_group_policy()
                .group_name(group)
                .policy_name(name);
            let answer = self.calls.iam("GetGroupPolicy", call.send()).await?;
            // IAM writes documents as in a URL (RFC 3986).
            let text = percent_decode_str(&answer.policy_document).decode_utf8();
            let text = text.map_err(|e| Fault {
                class: FaultClass::Refused,
                message: format!("an inline policy of group {group} is not UTF-8: {e}"),
            })?;
            found.documents.push(text.into_owned());
        }
        Ok(found)
    }

    async fn inline_policies(&self, group: &str) -> Result<Vec<String>, Fault> {
        let mut names = Vec::new();
        let mut marker = None;
        loop {
            let call = self
                .iam
                .list_group_policies()
                .group_name(group)
                .set_marker(marker);
            let page = self.calls.iam("ListGroupPolicies", call.send()).await?;
            names.extend(page.policy_names);
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                return Ok(names);
            }
        }
    }
}
