//! What a renewal changes in the Secret: every place that tells the end.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::key_names::KeyNames;
use super::rendered::credential_process;
use super::{EXPIRES_AT, RENEWED_FOR};
use crate::key_material::KeyMaterial;
use crate::plan::effect::Amendment;
use keylease_api::AwsCredentialRequest;

/// The entry of the Secret that holds key and end in one text, if the request
/// asks for it. Only for this one does a renewal have to read the data.
pub fn entry_with_end(request: &AwsCredentialRequest) -> Option<String> {
    KeyNames::of(&request.spec.secret.clone().unwrap_or_default()).credential_process
}

/// The key out of the JSON of a `credential_process` that we wrote. `None` for
/// anything else: what is not ours is not written anew.
pub fn key_in_process(json: &[u8]) -> Option<KeyMaterial> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Process {
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
    }
    let read: Process = serde_json::from_slice(json).ok()?;
    let key = KeyMaterial::new(
        read.access_key_id,
        read.secret_access_key,
        read.session_token,
    );
    key.is_whole().then_some(key)
}

/// A merge patch for this very Secret in this very state: annotations, the time
/// that the application reads, and with the key the text that holds both.
pub fn amendment(
    request: &AwsCredentialRequest,
    what: &Amendment,
    key: Option<&KeyMaterial>,
) -> Secret {
    let names = KeyNames::of(&request.spec.secret.clone().unwrap_or_default());
    let end = what.term.expires_at.to_string();
    let marks = [
        (EXPIRES_AT, end.clone()),
        (RENEWED_FOR, what.renewed_for.to_string()),
    ];
    let process = names.credential_process.zip(key);
    let process = process.map(|(name, key)| (name, credential_process(key, &end)));
    let data: BTreeMap<_, _> = [(names.expiration, end.into_bytes())]
        .into_iter()
        .chain(process)
        .map(|(name, text)| (name, ByteString(text)))
        .collect();
    Secret {
        metadata: ObjectMeta {
            uid: Some(what.secret.uid.clone()),
            resource_version: Some(what.secret.resource_version.clone()),
            annotations: Some(marks.map(|(k, v)| (k.to_owned(), v)).into()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::plan::lease::Term;
    use crate::plan::secret::SecretFacts;
    use keylease_api::{CredentialProcess, SecretTemplate};

    fn request(process: bool) -> AwsCredentialRequest {
        let mut request = crate::plan::tests::request();
        request.spec.secret = Some(SecretTemplate {
            credential_process: process.then(CredentialProcess::default),
            ..SecretTemplate::default()
        });
        request
    }

    fn what() -> Amendment {
        let at = |s| Timestamp::from_second(s).unwrap();
        Amendment {
            secret: SecretFacts {
                uid: "s1".into(),
                resource_version: "7".into(),
                key: None,
                written: None,
                restored: 0,
                in_place: true,
                immutable: false,
                remark: None,
                renewed_for: None,
            },
            term: Term {
                issued_at: at(1_000_000_000),
                expires_at: at(1_000_003_600),
                max_expires_at: at(1_000_007_200),
            },
            renewed_for: at(1_000_000_060),
        }
    }

    #[test]
    fn the_end_in_the_process_is_the_new_one_and_the_key_the_same() {
        let old = br#"{"Version":1,"AccessKeyId":"AKIA1","SecretAccessKey":"s3","SessionToken":"t","Expiration":"2001-09-09T01:46:41Z"}"#;
        let key = key_in_process(old).unwrap();
        let patch = serde_json::to_value(amendment(&request(true), &what(), Some(&key))).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert!(
            patch.get("type").is_none(),
            "a merge patch names what it changes"
        );
        let patch: Secret = serde_json::from_value(patch).unwrap();
        let data = patch.data.unwrap();
        assert_eq!(data["expiration"].0, b"2001-09-09T02:46:40Z");
        let new: serde_json::Value =
            serde_json::from_slice(&data["credential_process.json"].0).unwrap();
        let expected = serde_json::json!({
            "Version": 1, "AccessKeyId": "AKIA1", "SecretAccessKey": "s3", "SessionToken": "t",
            "Expiration": "2001-09-09T02:46:40Z",
        });
        assert_eq!(new, expected);
    }

    #[test]
    fn what_is_no_process_of_ours_is_left_alone() {
        for text in [
            &b""[..],
            b"{}",
            b"null",
            br#"{"AccessKeyId":"a"}"#,
            br#"{"AccessKeyId":"a","SecretAccessKey":""}"#,
        ] {
            assert!(key_in_process(text).is_none());
        }
        let data = amendment(&request(true), &what(), None).data.unwrap();
        assert_eq!(data.keys().collect::<Vec<_>>(), ["expiration"]);
        assert_eq!(entry_with_end(&request(false)), None);
    }
}
