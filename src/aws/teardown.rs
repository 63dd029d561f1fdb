//! Taking one thing off a user.

use super::Session;
use keylease_core::plan::effect::{Attachment, Fault, FaultClass};

impl Session {
    /// Removes one attachment. "Not found" is a fault here; `plan` knows that
    /// it means done.
    pub async fn clear(&self, user: &str, attachment: &Attachment) -> Result<(), Fault> {
        let (iam, calls) = (&self.iam, &self.calls);
        match attachment {
            Attachment::Key(id) => {
                let call = iam.delete_access_key().user_name(user).access_key_id(id);
                calls.iam("DeleteAccessKey", call.send()).await.map(drop)
            }
            Attachment::LoginProfile => {
                let call = iam.delete_login_profile().user_name(user);
                calls.iam("DeleteLoginProfile", call.send()).await.map(drop)
            }
            Attachment::ServiceCredential(id) => {
                let call = iam
                    .delete_service_specific_credential()
                    .user_name(user)
                    .service_specific_credential_id(id);
                calls
                    .iam("DeleteServiceSpecificCredential", call.send())
                    .await
                    .map(drop)
            }
            Attachment::SshKey(id) => {
                let call = iam
                    .delete_ssh_public_key()
                    .user_name(user)
                    .ssh_public_key_id(id);
                calls.iam("DeleteSSHPublicKey", call.send()).await.map(drop)
            }
            Attachment::Certificate(id) => {
                let call = iam
                    .delete_signing_certificate()
                    .user_name(user)
                    .certificate_id(id);
                calls
                    .iam("DeleteSigningCertificate", call.send())
                    .await
                    .map(drop)
            }
            Attachment::MfaDevice(serial) => self.clear_mfa(user, serial).await,
            Attachment::ManagedPolicy(arn) => {
                let call = iam.detach_user_policy().user_name(user).policy_arn(arn);
                calls.iam("DetachUserPolicy", call.send()).await.map(drop)
            }
            Attachment::InlinePolicy(name) => {
                let call = iam.delete_user_policy().user_name(user).policy_name(name);
                calls.iam("DeleteUserPolicy", call.send()).await.map(drop)
            }
            Attachment::Group(group) => {
                let call = iam
                    .remove_user_from_group()
                    .user_name(user)
                    .group_name(group);
                calls
                    .iam("RemoveUserFromGroup", call.send())
                    .await
                    .map(drop)
            }
        }
    }

    /// A device is taken off the user, and a virtual one deleted, so that no
    /// ownerless device stays in the account.
    async fn clear_mfa(&self, user: &str, serial: &str) -> Result<(), Fault> {
        let call = self
            .iam
            .deactivate_mfa_device()
            .user_name(user)
            .serial_number(serial);
        match self.calls.iam("DeactivateMFADevice", call.send()).await {
            Err(fault) if fault.class != FaultClass::NotFound => return Err(fault),
            _ => {}
        }
        if !is_virtual(serial) {
            return Ok(());
        }
        let call = self.iam.delete_virtual_mfa_device().serial_number(serial);
        self.calls
            .iam("DeleteVirtualMFADevice", call.send())
            .await
            .map(drop)
    }
}

/// Whether a serial number is that of a virtual device, `arn:…:mfa/NAME`. A
/// passkey or security key has an ARN too (`…:u2f/user/NAME/KEY`), and hardware
/// its maker's number: neither is a thing that could be deleted.
fn is_virtual(serial: &str) -> bool {
    let mut parts = serial.splitn(6, ':');
    parts.next() == Some("arn") && parts.nth(4).is_some_and(|r| r.starts_with("mfa/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_virtual_devices_are_deleted() {
        for partition in ["aws", "aws-cn", "aws-eusc"] {
            let arn = |resource: &str| format!("arn:{partition}:iam::123456789012:{resource}");
            assert!(is_virtual(&arn("mfa/name")));
            assert!(is_virtual(&arn("mfa/path/name")));
            assert!(!is_virtual(&arn("u2f/user/name/key-ABC")));
            assert!(!is_virtual(&arn("sms-mfa/name")));
        }
        assert!(!is_virtual("GAHT12345678"));
        assert!(!is_virtual("arn:aws:mfa/x"));
    }
}
