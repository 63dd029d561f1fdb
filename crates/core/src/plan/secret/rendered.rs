//! What is written into the Secret.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_core::Resource;

use super::edits::note;
use super::key_names::KeyNames;
use super::{ENTRIES, EXPIRES_AT, ISSUED_AT, KEY_ID, LEASE_ID, MANAGED_BY, MAX_EXPIRES_AT};
use crate::key_material::KeyMaterial;
use crate::plan::lease::Term;
use crate::plan::naming;
use keylease_api::{AwsCredentialRequest, SecretTemplate};

/// The Secret of a request. With no key its data is empty: that form is for
/// the dry run, which asks whether the real one would be let in.
pub fn render(
    request: &AwsCredentialRequest,
    region: &str,
    key: Option<(&KeyMaterial, &Term)>,
) -> Secret {
    let template = request.spec.secret.clone().unwrap_or_default();
    let mut labels: BTreeMap<_, _> = template
        .labels
        .iter()
        .map(|(k, v)| (k.clone(), v.0.clone()))
        .collect();
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    let mut annotations: BTreeMap<_, _> = template
        .annotations
        .iter()
        .map(|(k, v)| (k.clone(), v.0.clone()))
        .collect();
    let mut data = BTreeMap::new();
    if let Some((key, term)) = key {
        annotations.extend(marks(request, key.id(), term));
        data = render_data(&template, region, key, term);
        annotations.insert(ENTRIES.to_owned(), note(data.keys()));
    }
    Secret {
        metadata: ObjectMeta {
            name: Some(request.secret_name()),
            namespace: request.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(owner(request)),
            ..ObjectMeta::default()
        },
        type_: Some(template.type_.unwrap_or_else(|| "Opaque".to_owned())),
        data: Some(data),
        ..Secret::default()
    }
}

fn owner(request: &AwsCredentialRequest) -> Vec<OwnerReference> {
    // blockOwnerDeletion stays off: the finalizer already keeps the request,
    // and the flag would need a right on the finalizers subresource.
    request
        .controller_owner_ref(&())
        .map(|o| OwnerReference {
            block_owner_deletion: None,
            ..o
        })
        .into_iter()
        .collect()
}

fn marks(request: &AwsCredentialRequest, key_id: &str, term: &Term) -> [(String, String); 5] {
    let lease_id = naming::lease_id(&request.spec.role_ref.name, request.uid_str());
    [
        (KEY_ID, key_id.to_owned()),
        (LEASE_ID, lease_id),
        (ISSUED_AT, term.issued_at.to_string()),
        (EXPIRES_AT, term.expires_at.to_string()),
        (MAX_EXPIRES_AT, term.max_expires_at.to_string()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
}

fn render_data(
    template: &SecretTemplate,
    region: &str,
    key: &KeyMaterial,
    term: &Term,
) -> BTreeMap<String, ByteString> {
    let names = KeyNames::of(template);
    let expiration = term.expires_at.to_string();
    let mut file = format!(
        "[{}]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        names.profile,
        key.id(),
        key.expose(),
    );
    let mut entries: Vec<(String, Vec<u8>)> = vec![
        (names.access_key_id, key.id().into()),
        (names.secret_access_key, key.expose().into()),
        (names.region, region.into()),
        (names.expiration, expiration.clone().into_bytes()),
    ];
    if let Some(name) = names.default_region {
        entries.push((name, region.into()));
    }
    if let Some(token) = key.session_token() {
        file.push_str(&format!("aws_session_token = {token}\n"));
        entries.push((names.session_token, token.into()));
    }
    file.push_str(&format!("region = {region}\n"));
    entries.push((names.file, file.into_bytes()));
    if let Some(name) = names.credential_process {
        entries.push((name, credential_process(key, &expiration)));
    }
    let entries = entries.into_iter();
    entries.map(|(k, v)| (k, ByteString(v))).collect()
}

/// What AWS tools read from a `credential_process`: version 1 of its JSON.
pub(super) fn credential_process(key: &KeyMaterial, expiration: &str) -> Vec<u8> {
    let mut json = serde_json::json!({
        "Version": 1,
        "AccessKeyId": key.id(),
        "SecretAccessKey": key.expose(),
        "Expiration": expiration,
    });
    if let Some(token) = key.session_token() {
        json["SessionToken"] = token.into();
    }
    json.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::SecretView;
    use super::*;

    fn request(secret: Option<SecretTemplate>) -> AwsCredentialRequest {
        let mut request = crate::plan::tests::request();
        request.spec.secret = secret;
        request
    }

    fn rendered(request: &AwsCredentialRequest) -> Secret {
        let at = |s| Timestamp::from_second(s).unwrap();
        let term = Term {
            issued_at: at(1_000_000_000),
            expires_at: at(1_000_003_600),
            max_expires_at: at(1_000_007_200),
        };
        let key = KeyMaterial::new("AKIA1".into(), "s3cr3t/+".into(), None);
        render(request, "eu-west-1", Some((&key, &term)))
    }

    fn text(secret: &Secret, key: &str) -> String {
        String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap()
    }

    #[test]
    fn holds_the_usual_keys_and_reads_back_as_ours() {
        let request = request(None);
        let mut secret = rendered(&request);
        assert_eq!(secret.metadata.name.as_deref(), Some("app"));
        assert_eq!(text(&secret, "AWS_ACCESS_KEY_ID"), "AKIA1");
        assert_eq!(text(&secret, "AWS_SECRET_ACCESS_KEY"), "s3cr3t/+");
        assert_eq!(text(&secret, "AWS_REGION"), "eu-west-1");
        assert_eq!(text(&secret, "expiration"), "2001-09-09T02:46:40Z");
        assert_eq!(
            text(&secret, "credentials"),
            "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s3cr3t/+\nregion = eu-west-1\n"
        );
        secret.metadata.uid = Some("s1".into());
        let SecretView::Ours(facts) = SecretView::of(&secret.metadata, &request) else {
            panic!("not ours");
        };
        let (key_id, term) = facts.key.unwrap();
        assert_eq!(key_id, "AKIA1");
        assert_eq!(term.expires_at.to_string(), "2001-09-09T02:46:40Z");
    }

    #[test]
    fn a_forged_owner_label_or_name_is_foreign() {
        let mine = request(None);
        let mut meta = rendered(&mine).metadata;
        meta.owner_references.as_mut().unwrap()[0].uid = "another".into();
        assert_eq!(SecretView::of(&meta, &mine), SecretView::Foreign);
        meta.owner_references.as_mut().unwrap()[0].uid = mine.uid_str().into();
        meta.owner_references.as_mut().unwrap()[0].controller = Some(false);
        assert_eq!(SecretView::of(&meta, &mine), SecretView::Foreign);
        meta.owner_references = None;
        assert_eq!(SecretView::of(&meta, &mine), SecretView::Foreign);
    }
}
