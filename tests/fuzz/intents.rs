//! The intent annotation, which whoever may edit a request may edit.

use keylease_api::AwsCredentialRequest;
use keylease_core::plan::intent::{FINALIZER, INTENT_ANNOTATION, Intent, Permission, user_name_of};

use crate::harness::{Told, did, fuzz};
use crate::samples::{cluster, request};

const TOKENS: [&str; 14] = [
    "\"uid\":\"request-uid\"",
    "\"attempt\":4294967295",
    "\"account\":\"default\"",
    "\"accountId\":\"123456789012\"",
    "\"userName\":",
    "\"adopted\":true",
    "\"path\":\"/\"",
    "\"permissions\":[\"inlinePolicy\"]",
    "\"retired\":[{\"group\":\"admins\"}]",
    "\"replaces\":\"AKIA1\"",
    "\"ttlSeconds\":-1",
    "\"maxTtlSeconds\":9223372036854775807",
    "{\"managedPolicy\":\"inline\"}",
    "{\"managedPolicy\":\"group/\"}",
];

/// Whatever the annotation says, the request gets at its own user and no other:
/// a user that was there before is named by the role, never by the annotation.
fn judge(input: &[u8]) -> Told {
    let cluster = cluster();
    let mut request = request();
    annotate(&mut request, &String::from_utf8_lossy(input));
    let own = user_name_of(&request, &cluster);
    let Some(intent) = Intent::of(&request, &cluster) else {
        return did("none");
    };
    ensure!(
        intent.uid == request.uid_str(),
        "the intent of another: {}",
        intent.uid
    );
    ensure!(
        intent.adopted || intent.user_name == own,
        "{} is not {own}",
        intent.user_name
    );
    annotate(&mut request, &intent.to_json());
    let again = Intent::of(&request, &cluster);
    ensure!(
        again.as_ref() == Some(&intent),
        "{intent:?} is read back as {again:?}"
    );
    // The status tells which user a live lease has.
    for (type_, name) in [
        ("iamUser", own.as_str()),
        ("iamUser", "root"),
        ("staticUser", "legacy"),
    ] {
        let credential = serde_json::json!({
            "type": type_, "accountId": "123456789012", "accessKeyId": "AKIA1", "userName": name,
            "arn": format!("arn:aws:iam::123456789012:user/a/{name}"),
        });
        let credential = serde_json::from_value(credential).unwrap();
        if let Some(live) = Intent::of_live(&request, &cluster, &credential) {
            ensure!(
                live.user_name == name && name != "root",
                "{live:?} for {name}"
            );
            ensure!(
                live.adopted == (type_ == "staticUser"),
                "{live:?} for a {type_}"
            );
            let told = (live.account_id.as_str(), live.path.as_str());
            ensure!(told == ("123456789012", "/a/"), "{live:?} is elsewhere");
        }
    }
    did((
        intent.adopted,
        intent.boundary.is_some(),
        intent.replaces.is_some(),
        intent.permissions.iter().map(kind).collect::<Vec<_>>(),
        intent.ttl_seconds.signum(),
    ))
}

fn annotate(request: &mut AwsCredentialRequest, text: &str) {
    request.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    let annotations = request.metadata.annotations.get_or_insert_default();
    annotations.insert(INTENT_ANNOTATION.to_owned(), text.to_owned());
}

fn kind(permission: &Permission) -> u8 {
    match permission {
        Permission::ManagedPolicy(_) => 0,
        Permission::InlinePolicy => 1,
        Permission::Group(_) => 2,
    }
}

#[test]
fn intents() {
    fuzz("intents", &TOKENS, judge);
}
