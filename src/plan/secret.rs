//! The Secret: how it is rendered, and how one of ours is told from any other.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use super::effect::Amendment;
use super::lease::Term;
use super::naming;
use super::reasons::{Reason, Verdict};
use super::secret_edits;
use crate::api::{AwsCredentialRequest, SecretKeys, SecretTemplate};
use crate::key_material::KeyMaterial;

/// Label and value on every Secret of ours: what the watch selects by. It
/// gives no right to anything: ownership is the controller reference's uid.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "keylease");
/// Annotation with the id of the key that the Secret holds.
pub const KEY_ID: &str = "keylease.dev/access-key-id";
const LEASE_ID: &str = "keylease.dev/lease-id";
const ISSUED_AT: &str = "keylease.dev/issued-at";
const EXPIRES_AT: &str = "keylease.dev/expires-at";
const RENEWED_FOR: &str = "keylease.dev/renewed-for";
/// Annotation with the number of entries in the data.
pub const ENTRIES: &str = "keylease.dev/entries";
const MAX_EXPIRES_AT: &str = "keylease.dev/max-expires-at";

/// A Secret, as far as decisions need it. Never its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretView {
    /// Not read in this reconcile.
    Unread,
    /// No Secret of that name.
    Absent,
    /// The request is its controller owner, by uid.
    Ours(SecretFacts),
    /// Somebody else's. Never touched.
    Foreign,
}

/// What a Secret of ours says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// Its own uid, for deletes that hit this very object.
    pub uid: String,
    /// Its version, for writes that hit this very state.
    pub resource_version: String,
    /// The id of the key it holds, and the lease it was written for. `None`
    /// when somebody edited the annotations away, or the data.
    pub key: Option<(String, Term)>,
    /// When we wrote it last.
    pub written: Option<Timestamp>,
    /// The renewal that was written into it last.
    pub renewed_for: Option<Timestamp>,
}

impl SecretFacts {
    /// Whether the Secret says that it holds this key.
    pub fn holds(&self, key_id: &str) -> bool {
        self.key.as_ref().is_some_and(|(id, _)| id == key_id)
    }
}

impl SecretView {
    /// Judges a Secret by its metadata. Labels and annotations can be forged
    /// by anyone who may write Secrets in the namespace, and a name proves
    /// nothing; the API server lets a Secret have one controller owner, and
    /// its uid must be this request's.
    pub fn of(meta: &ObjectMeta, request: &AwsCredentialRequest) -> Self {
        let owners = meta.owner_references.as_deref().unwrap_or_default();
        let ours = owners
            .iter()
            .any(|o| o.controller == Some(true) && o.uid == request.uid_str());
        if !ours || request.uid_str().is_empty() {
            return Self::Foreign;
        }
        Self::Ours(SecretFacts {
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            key: read_key(meta),
            written: secret_edits::written_at(meta),
            renewed_for: meta
                .annotations
                .as_ref()
                .and_then(|a| a.get(RENEWED_FOR)?.parse().ok()),
        })
    }
}

fn read_key(meta: &ObjectMeta) -> Option<(String, Term)> {
    let annotations = meta.annotations.as_ref()?;
    let time = |key: &str| annotations.get(key)?.parse::<Timestamp>().ok();
    let term = Term {
        issued_at: time(ISSUED_AT)?,
        expires_at: time(EXPIRES_AT)?,
        max_expires_at: time(MAX_EXPIRES_AT)?,
    };
    Some((secret_edits::key_in(meta)?, term))
}

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
        annotations.insert(ENTRIES.to_owned(), data.len().to_string());
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
fn credential_process(key: &KeyMaterial, expiration: &str) -> Vec<u8> {
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

/// What a renewal changes in the Secret: annotations, and the time that the
/// application reads. A merge patch that leaves the key alone.
pub fn amendment(request: &AwsCredentialRequest, what: &Amendment) -> serde_json::Value {
    let names = KeyNames::of(&request.spec.secret.clone().unwrap_or_default());
    let expires_at = what.term.expires_at.to_string();
    serde_json::json!({
        "metadata": {
            "uid": what.secret.uid,
            "resourceVersion": what.secret.resource_version,
            "annotations": {EXPIRES_AT: expires_at, RENEWED_FOR: what.renewed_for.to_string()},
        },
        "stringData": {names.expiration: expires_at},
    })
}

/// The names of the Secret's keys after all defaults.
struct KeyNames {
    access_key_id: String,
    secret_access_key: String,
    region: String,
    session_token: String,
    expiration: String,
    file: String,
    profile: String,
    credential_process: Option<String>,
}

impl KeyNames {
    fn of(template: &SecretTemplate) -> Self {
        let keys = template.keys.clone().unwrap_or_default();
        let file = template.credentials_file.clone().unwrap_or_default();
        let SecretKeys {
            access_key_id,
            secret_access_key,
            session_token,
            region,
            expiration,
        } = keys;
        let or = |name: Option<String>, default: &str| name.unwrap_or_else(|| default.to_owned());
        Self {
            access_key_id: or(access_key_id, "AWS_ACCESS_KEY_ID"),
            secret_access_key: or(secret_access_key, "AWS_SECRET_ACCESS_KEY"),
            region: or(region, "AWS_REGION"),
            session_token: or(session_token, "AWS_SESSION_TOKEN"),
            expiration: or(expiration, "expiration"),
            file: or(file.key, "credentials"),
            profile: or(file.profile, "default"),
            credential_process: template
                .credential_process
                .clone()
                .map(|c| or(c.key, "credential_process.json")),
        }
    }
}

/// Longest name of a key in a Secret (Kubernetes, `ConfigMap` and `Secret` data).
const MAX_KEY: usize = 253;

/// Checks that no two keys of the Secret have one name, where one would
/// overwrite the other, and that names are names: a profile with a line break
/// would put lines of its own into the credentials file. (The API server checks
/// the same; objects may be older than its rule.)
///
/// # Errors
/// A verdict that names the key.
pub fn check_template(request: &AwsCredentialRequest) -> Result<(), Verdict> {
    let names = KeyNames::of(&request.spec.secret.clone().unwrap_or_default());
    let mut seen = BTreeMap::new();
    let mut all = vec![
        ("keys.accessKeyId", names.access_key_id),
        ("keys.secretAccessKey", names.secret_access_key),
        ("keys.sessionToken", names.session_token),
        ("keys.region", names.region),
        ("keys.expiration", names.expiration),
        ("credentialsFile.key", names.file),
    ];
    let process = names.credential_process;
    all.extend(process.map(|name| ("credentialProcess.key", name)));
    if names.profile.is_empty() || !made_of(&names.profile, "_.@:/+-") {
        return Err(misnamed("credentialsFile.profile", &names.profile));
    }
    for (field, name) in all {
        if !(1..=MAX_KEY).contains(&name.len()) || !made_of(&name, "-._") {
            return Err(misnamed(field, &name));
        }
        if let Some(other) = seen.insert(name.clone(), field) {
            return Err(Verdict::new(
                Reason::InvalidRequest,
                format!(
                    "spec.secret: {other} and {field} are both {name:?}; give each its own name"
                ),
            ));
        }
    }
    Ok(())
}

/// Whether a text is made of ASCII letters, digits and these.
fn made_of(text: &str, others: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn misnamed(field: &str, name: &str) -> Verdict {
    Verdict::new(
        Reason::InvalidRequest,
        format!("spec.secret: {field} cannot be {name:?}; use letters, digits and -_."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CredentialsFile;

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

    #[test]
    fn colliding_key_names_are_refused() {
        let file = CredentialsFile {
            key: Some("AWS_REGION".into()),
            profile: None,
        };
        let request = request(Some(SecretTemplate {
            credentials_file: Some(file),
            ..SecretTemplate::default()
        }));
        let verdict = check_template(&request).unwrap_err();
        assert!(
            verdict.message.contains("AWS_REGION"),
            "{}",
            verdict.message
        );
    }
}
