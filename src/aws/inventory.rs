//! Everything that blocks `DeleteUser`, listed. Only reads.

use aws_sdk_iam::operation::{
    list_access_keys, list_attached_user_policies, list_groups_for_user, list_mfa_devices,
    list_signing_certificates, list_ssh_public_keys, list_user_policies,
};

use super::Session;
use keylease_core::plan::effect::{Attachment, Fault, FaultClass};

/// Lists one kind of thing, page by page.
macro_rules! list {
    ($session:ident, $operation:literal, $request:expr, $items:expr, $name:expr, $found:ident) => {{
        let mut marker: Option<String> = None;
        loop {
            let call = $request.set_marker(marker.take()).send();
            let page = $session.calls.iam($operation, call).await?;
            marker = page.marker.clone().filter(|_| page.is_truncated);
            let items = $items(page);
            $found.extend(items.into_iter().filter_map($name));
            if marker.is_none() {
                break;
            }
        }
    }};
}

pub(super) use list;

impl Session {
    /// All nine kinds of thing that can be on a user; `None` if there is no
    /// such user.
    pub async fn inventory(&self, user: &str) -> Result<Option<Vec<Attachment>>, Fault> {
        match self.take_inventory(user).await {
            Ok(found) => Ok(Some(found)),
            Err(fault) if fault.class == FaultClass::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn take_inventory(&self, user: &str) -> Result<Vec<Attachment>, Fault> {
        let iam = &self.iam;
        let mut found = Vec::new();
        list!(
            self,
            "ListAccessKeys",
            iam.list_access_keys().user_name(user),
            |p: list_access_keys::ListAccessKeysOutput| p.access_key_metadata,
            |k| k.access_key_id.map(Attachment::Key),
            found
        );
        list!(
            self,
            "ListAttachedUserPolicies",
            iam.list_attached_user_policies().user_name(user),
            |p: list_attached_user_policies::ListAttachedUserPoliciesOutput| p
                .attached_policies
                .unwrap_or_default(),
            |p| p.policy_arn.map(Attachment::ManagedPolicy),
            found
        );
        list!(
            self,
            "ListUserPolicies",
            iam.list_user_policies().user_name(user),
            |p: list_user_policies::ListUserPoliciesOutput| p.policy_names,
            |n| Some(Attachment::InlinePolicy(n)),
            found
        );
        list!(
            self,
            "ListGroupsForUser",
            iam.list_groups_for_user().user_name(user),
            |p: list_groups_for_user::ListGroupsForUserOutput| p.groups,
            |g| Some(Attachment::Group(g.group_name)),
            found
        );
        list!(
            self,
            "ListMFADevices",
            iam.list_mfa_devices().user_name(user),
            |p: list_mfa_devices::ListMfaDevicesOutput| p.mfa_devices,
            |d| Some(Attachment::MfaDevice(d.serial_number)),
            found
        );
        list!(
            self,
            "ListSSHPublicKeys",
            iam.list_ssh_public_keys().user_name(user),
            |p: list_ssh_public_keys::ListSshPublicKeysOutput| p
                .ssh_public_keys
                .unwrap_or_default(),
            |k| Some(Attachment::SshKey(k.ssh_public_key_id)),
            found
        );
        list!(
            self,
            "ListSigningCertificates",
            iam.list_signing_certificates().user_name(user),
            |p: list_signing_certificates::ListSigningCertificatesOutput| p.certificates,
            |c| Some(Attachment::Certificate(c.certificate_id)),
            found
        );
        found.extend(self.service_credentials(user).await?);
        found.extend(self.login_profile(user).await?);
        Ok(found)
    }

    async fn service_credentials(&self, user: &str) -> Result<Vec<Attachment>, Fault> {
        let call = self
            .iam
            .list_service_specific_credentials()
            .user_name(user)
            .send();
        let answer = self
            .calls
            .iam("ListServiceSpecificCredentials", call)
            .await?;
        let listed = answer.service_specific_credentials.unwrap_or_default();
        Ok(listed
            .into_iter()
            .map(|c| Attachment::ServiceCredential(c.service_specific_credential_id))
            .collect())
    }

    /// A user without a password answers "not found", which is no fault.
    async fn login_profile(&self, user: &str) -> Result<Option<Attachment>, Fault> {
        let call = self.iam.get_login_profile().user_name(user).send();
        match self.calls.iam("GetLoginProfile", call).await {
            Ok(_) => Ok(Some(Attachment::LoginProfile)),
            Err(fault) if fault.class == FaultClass::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}
