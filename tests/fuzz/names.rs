//! Names, tags and paths that are put together from what people write, and what
//! IAM lets them be (IAM and STS API references: `userName`, `path`, `Tag`,
//! `RoleSessionName`, GetFederationToken's `Name`).

use std::collections::BTreeMap;

use keylease_api::{AwsCredentialRequest, AwsRole};
use keylease_core::plan::intent::{identity_tags, user_name_of};
use keylease_core::plan::naming::{is_user_name, user_path};
use keylease_core::plan::ownership::{UserFacts, fill, user_tags};
use keylease_core::plan::session_spec::{self, SessionCall};
use keylease_core::plan::sweep::orphan::stand_in;
use keylease_core::plan::ttl;
use serde::Deserialize;
use serde_json::json;

use crate::harness::{Told, did, fuzz};
use crate::samples::{self, cluster};

const TOKENS: [&str; 12] = [
    "\"namespace\":",
    "\"name\":",
    "\"uid\":",
    "\"role\":",
    "\"template\":",
    "\"session\":",
    "\"path\":",
    "\"tags\":",
    "\"keylease.dev/uid\":",
    "\"keylease.dev/cluster\":\"cluster\"",
    "{{request}}{{role}}",
    "a.b-c",
];

/// Longest uid that is tried; those of API servers have 36 characters.
const UID: usize = 128;

/// What one request is made of.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Parts {
    namespace: String,
    name: String,
    uid: String,
    role: String,
    template: String,
    session: Option<String>,
    path: String,
    tags: BTreeMap<String, String>,
}

impl Parts {
    /// The objects, as far as an API server takes such names.
    fn objects(&self) -> (AwsCredentialRequest, AwsRole) {
        let mut request = samples::request();
        request.metadata.namespace = Some(dns(&self.namespace, 63));
        request.metadata.name = Some(dns(&self.name, 253));
        request.metadata.uid = Some(self.uid.chars().take(UID).collect());
        request.spec.role_ref.name = dns(&self.role, 253);
        let word = |s: &String| (2..=48).contains(&s.len()) && s.bytes().all(is_word);
        request.spec.role_session_name = self.session.clone().filter(word);
        let mut role = samples::role();
        let user = role.spec.iam_user.as_mut().unwrap();
        let tags = self
            .tags
            .iter()
            .map(|(key, value)| (key, format!("{}{value}", self.template)));
        let tags: BTreeMap<_, _> = tags.collect();
        user.tags = serde_json::from_value(json!(tags)).unwrap();
        (request, role)
    }
}

/// What Kubernetes lets the name of an object be.
fn dns(text: &str, longest: usize) -> String {
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(*c);
    let name: String = text.chars().filter(allowed).take(longest).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() {
        "a".to_owned()
    } else {
        name.to_owned()
    }
}

/// `[\w+=,.@-]`, of which names in IAM and STS are made.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

fn judge(input: &[u8]) -> Told {
    let Ok(parts) = serde_json::from_slice::<Parts>(input) else {
        return did("refused");
    };
    let (request, role) = parts.objects();
    let name = user_name_of(&request, &cluster());
    ensure!(
        name.len() <= 64 && name.bytes().all(is_word),
        "{name} is no name in IAM"
    );
    ensure!(is_user_name(&name), "{name} is not known again");
    let tags = user_tags(&request, &role, &samples::account(), &cluster());
    for (key, value) in &tags {
        ensure!(
            value.chars().count() <= 256,
            "the tag {key} is too long: {value}"
        );
    }
    for (key, value) in identity_tags(&request, &cluster()) {
        ensure!(
            tags.get(&key) == Some(&value),
            "the role overwrites our tag {key}"
        );
    }
    ensure!(
        fill(&parts.template, &request).chars().count() <= 256,
        "too long for a tag"
    );
    let longest = sessions(&request)?;
    let swept = swept(&parts, &request, &name, tags)?;
    did((
        longest,
        swept,
        name.len() / 8,
        parts.tags.len().min(3),
        request.spec.role_session_name.is_some(),
    ))
}

/// Names of sessions fit; the longest of them.
fn sessions(request: &AwsCredentialRequest) -> Result<usize, String> {
    let types = [
        (
            json!({"assumedRole": {"roleArns": ["arn:aws:iam::123456789012:role/a"]}}),
            64,
        ),
        (json!({"federationToken": {}}), 32),
    ];
    let mut longest = 0;
    for (type_, most) in types {
        let mut role = samples::role();
        let mut spec = serde_json::to_value(&role.spec).unwrap();
        spec.as_object_mut().unwrap().remove("iamUser");
        spec.as_object_mut().unwrap().remove("ttl");
        spec.as_object_mut()
            .unwrap()
            .extend(type_.as_object().unwrap().clone());
        role.spec = serde_json::from_value(spec).unwrap();
        let ttls = ttl::of_request(request, &role).map_err(|v| v.message)?;
        let spec = session_spec::of(request, &role, ttls, "1").map_err(|v| v.message)?;
        let name = match spec.map(|s| s.call) {
            Some(SessionCall::AssumeRole { name, .. } | SessionCall::FederationToken { name }) => {
                name
            }
            other => return Err(format!("{other:?} is no session")),
        };
        let fits = (2..=most).contains(&name.len()) && name.bytes().all(is_word);
        ensure!(
            fits,
            "{name:?} is no name of a session with at most {most} characters"
        );
        longest = longest.max(name.len() / 8);
    }
    Ok(longest)
}

/// A user is removed as an orphan only if its name follows from its tags.
fn swept(
    parts: &Parts,
    request: &AwsCredentialRequest,
    name: &str,
    ours: BTreeMap<String, String>,
) -> Result<[bool; 2], String> {
    let path = user_path("/keylease/", &cluster(), &parts.path);
    let judged = |tags, path: &str| {
        let facts = UserFacts {
            path: path.to_owned(),
            boundary: None,
            tags,
        };
        stand_in(name, &facts, &samples::account(), &cluster())
    };
    let same = |other: &AwsCredentialRequest| {
        (
            other.namespace_name(),
            &other.metadata.name,
            other.uid_str(),
        ) == (
            request.namespace_name(),
            &request.metadata.name,
            request.uid_str(),
        )
    };
    let whole = judged(ours, &path);
    ensure!(
        whole.as_ref().ok().is_none_or(same),
        "its tags lead to another request"
    );
    ensure!(
        whole.is_ok() || parts.uid.is_empty(),
        "not known as ours: {whole:?}"
    );
    let forged = judged(parts.tags.clone(), &parts.path);
    if let Ok(told) = &forged {
        let own = user_name_of(told, &cluster());
        ensure!(
            own == name && parts.path.starts_with("/keylease/cluster/"),
            "{name} passes as {own}"
        );
    }
    Ok([whole.is_ok(), forged.is_ok()])
}

#[test]
fn names() {
    fuzz("names", &TOKENS, judge);
}
