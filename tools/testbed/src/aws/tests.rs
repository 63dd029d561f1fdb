//! Tests of the fake without its network, with time as an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::config::{FakeConfig, KeyDelay, Rate};
use super::engine::{Engine, Reply, Request};
use super::fault::{Fault, FaultKind};
use super::journal::Outcome;
use super::sigv4::{Signed, sign};
use crate::aws_cli::{ROOT_KEY_ID, ROOT_SECRET};

const ROOT: Key<'_> = Key {
    id: ROOT_KEY_ID,
    secret: ROOT_SECRET,
    token: None,
};

#[derive(Clone, Copy)]
struct Key<'a> {
    id: &'a str,
    secret: &'a str,
    token: Option<&'a str>,
}

struct Bed {
    engine: Engine,
    start: Instant,
}

impl Bed {
    fn new(config: FakeConfig) -> Self {
        let start = Instant::now();
        Self {
            engine: Engine::new(config, start),
            start,
        }
    }

    /// One call, so many milliseconds after the start.
    fn at(&mut self, millis: u64, key: Key<'_>, call: &str) -> Reply {
        let now = self.start + Duration::from_millis(millis);
        let request = request(key, call);
        let fault = self.engine.strike(&request);
        self.engine.apply(&request, fault.as_ref(), now)
    }

    fn root(&mut self, call: &str) -> Reply {
        self.at(0, ROOT, call)
    }

    /// The root's call, which must succeed.
    fn ok(&mut self, call: &str) -> String {
        let reply = self.root(call);
        assert_eq!(reply.status, 200, "{call}: {}", reply.body);
        reply.body
    }

    /// The code of the root's call, which must fail.
    fn code(&mut self, call: &str) -> String {
        code(&self.root(call))
    }

    /// A new access key: id and secret.
    fn new_key(&mut self, user: &str) -> (String, String) {
        let body = self.ok(&format!("CreateAccessKey&UserName={user}"));
        (
            field(&body, "AccessKeyId").to_owned(),
            field(&body, "SecretAccessKey").to_owned(),
        )
    }
}

fn request(key: Key<'_>, call: &str) -> Request {
    let sts = [
        "GetCallerIdentity",
        "AssumeRole",
        "GetFederation",
        "GetSession",
    ];
    let (service, version) = if sts.iter().any(|op| call.starts_with(op)) {
        ("sts", "2011-06-15")
    } else {
        ("iam", "2010-05-08")
    };
    let body = format!("Action={call}&Version={version}").into_bytes();
    let mut headers: HashMap<String, String> =
        [("host", "fake"), ("x-amz-date", "20260101T000000Z")]
            .into_iter()
            .chain(key.token.map(|token| ("x-amz-security-token", token)))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    let unsigned = Signed {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        body: &body,
    };
    let header = sign(&unsigned, key.id, key.secret, service);
    headers.insert("authorization".to_owned(), header);
    Request::new("POST", "/", "", headers, body)
}

fn field<'a>(body: &'a str, name: &str) -> &'a str {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = body
        .split_once(&open)
        .unwrap_or_else(|| panic!("no {name}: {body}"));
    rest.split_once(&close).expect("closed").0
}

fn code(reply: &Reply) -> String {
    assert_ne!(reply.status, 200, "{}", reply.body);
    field(&reply.body, "Code").to_owned()
}

const INVALID: &str = "InvalidClientTokenId";

#[test]
fn delete_conflicts_name_what_is_in_the_way() {
    let mut bed = Bed::new(FakeConfig::default());
    bed.ok("CreateUser&UserName=u");
    let (id, _) = bed.new_key("u");
    bed.ok("CreateGroup&GroupName=g");
    bed.ok("AddUserToGroup&UserName=u&GroupName=g");
    bed.ok("AttachUserPolicy&UserName=u&PolicyArn=arn:aws:iam::aws:policy/ReadOnlyAccess");
    bed.ok("PutUserPolicy&UserName=u&PolicyName=p&PolicyDocument={\"Statement\":[{}]}");
    bed.ok("CreateLoginProfile&UserName=u&Password=x");
    bed.ok("CreateVirtualMFADevice&VirtualMFADeviceName=m");
    let mfa = "SerialNumber=arn:aws:iam::123456789012:mfa/m";
    bed.ok(&format!("EnableMFADevice&UserName=u&{mfa}"));
    let ssh = bed.ok("UploadSSHPublicKey&UserName=u&SSHPublicKeyBody=x");
    let cert = bed.ok("UploadSigningCertificate&UserName=u&CertificateBody=x");
    let login = bed.ok("CreateServiceSpecificCredential&UserName=u&ServiceName=x");

    let ssh = field(&ssh, "SSHPublicKeyId");
    let cert = field(&cert, "CertificateId");
    let login = field(&login, "ServiceSpecificCredentialId");
    for removal in [
        format!("DeleteAccessKey&UserName=u&AccessKeyId={id}"),
        "DetachUserPolicy&UserName=u&PolicyArn=arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned(),
        "DeleteUserPolicy&UserName=u&PolicyName=p".to_owned(),
        "RemoveUserFromGroup&UserName=u&GroupName=g".to_owned(),
        "DeleteLoginProfile&UserName=u".to_owned(),
        format!("DeactivateMFADevice&UserName=u&{mfa}"),
        format!("DeleteSSHPublicKey&UserName=u&SSHPublicKeyId={ssh}"),
        format!("DeleteSigningCertificate&UserName=u&CertificateId={cert}"),
        format!("DeleteServiceSpecificCredential&UserName=u&ServiceSpecificCredentialId={login}"),
    ] {
        assert_eq!(bed.code("DeleteUser&UserName=u"), "DeleteConflict");
        bed.ok(&removal);
        assert_eq!(bed.code(&removal), "NoSuchEntity", "{removal}");
    }
    bed.ok("DeleteUser&UserName=u");
    bed.ok(&format!("DeleteVirtualMFADevice&{mfa}"));
    assert_eq!(bed.code("GetUser&UserName=u"), "NoSuchEntity");
}

#[test]
fn names_are_unique_without_regard_to_case() {
    let mut bed = Bed::new(FakeConfig::default());
    bed.ok("CreateUser&UserName=Alice&Path=/keylease/");
    assert_eq!(bed.code("CreateUser&UserName=alice"), "EntityAlreadyExists");
    assert_eq!(bed.code("CreateUser&UserName=a%2Fb"), "ValidationError");
    let arn = bed.ok("GetUser&UserName=ALICE");
    assert_eq!(
        field(&arn, "Arn"),
        "arn:aws:iam::123456789012:user/keylease/Alice"
    );
}

#[test]
fn quotas_hold() {
    let mut bed = Bed::new(FakeConfig {
        max_users: 2,
        ..FakeConfig::default()
    });
    bed.ok("CreateUser&UserName=u");
    assert_eq!(bed.code("CreateUser&UserName=v"), "LimitExceeded");
    bed.new_key("u");
    bed.new_key("u");
    assert_eq!(bed.code("CreateAccessKey&UserName=u"), "LimitExceeded");
    bed.engine.config.non_atomic_key_limit = true;
    bed.new_key("u");
    let later = bed.at(1000, ROOT, "CreateAccessKey&UserName=u");
    assert_eq!(code(&later), "LimitExceeded");
}

#[test]
fn policies_are_looked_at() {
    let mut bed = Bed::new(FakeConfig::default());
    bed.ok("CreateUser&UserName=u");
    let mut put = |document: &str| {
        code(&bed.root(&format!(
            "PutUserPolicy&UserName=u&PolicyName=p&PolicyDocument={document}"
        )))
    };
    assert_eq!(put("nonsense"), "MalformedPolicyDocument");
    assert_eq!(put("{}"), "MalformedPolicyDocument");
    let long = format!("{{\"Statement\":[{{}}],\"Id\":\"{}\"}}", "x".repeat(2048));
    assert_eq!(put(&long), "LimitExceeded");
    let unknown = "AttachUserPolicy&UserName=u&PolicyArn=arn:aws:iam::aws:policy/Unknown";
    assert_eq!(bed.code(unknown), "NoSuchEntity");
}

#[test]
fn keys_start_late_and_linger() {
    let mut bed = Bed::new(FakeConfig {
        key_delay: KeyDelay::fixed(Duration::from_secs(3)),
        key_tail: Duration::from_secs(2),
        ..FakeConfig::default()
    });
    bed.ok("CreateUser&UserName=u&Path=/p/");
    let (id, secret) = bed.new_key("u");
    let key = Key {
        id: &id,
        secret: &secret,
        token: None,
    };
    assert_eq!(code(&bed.at(2999, key, "GetCallerIdentity")), INVALID);
    let reply = bed.at(3000, key, "GetCallerIdentity");
    assert_eq!(
        field(&reply.body, "Arn"),
        "arn:aws:iam::123456789012:user/p/u"
    );
    let wrong = Key {
        secret: "wrong",
        ..key
    };
    assert_eq!(
        code(&bed.at(3000, wrong, "GetCallerIdentity")),
        "SignatureDoesNotMatch"
    );

    let delete = format!("DeleteAccessKey&UserName=u&AccessKeyId={id}");
    assert_eq!(bed.at(4000, ROOT, &delete).status, 200);
    assert_eq!(bed.at(5999, key, "GetCallerIdentity").status, 200);
    assert_eq!(code(&bed.at(6000, key, "GetCallerIdentity")), INVALID);
}

#[test]
fn keys_flap_between_servers() {
    let mut bed = Bed::new(FakeConfig {
        key_delay: KeyDelay::flapping(Duration::ZERO, Duration::from_secs(10), 4),
        seed: 3,
        ..FakeConfig::default()
    });
    bed.ok("CreateUser&UserName=u");
    let (id, secret) = bed.new_key("u");
    let key = Key {
        id: &id,
        secret: &secret,
        token: None,
    };
    let statuses: Vec<u16> = (0..8)
        .map(|_| bed.at(5000, key, "GetCallerIdentity").status)
        .collect();
    assert!(
        statuses.contains(&200) && statuses.contains(&403),
        "{statuses:?}"
    );
    assert!((0..8).all(|_| bed.at(10_000, key, "GetCallerIdentity").status == 200));
}

#[test]
fn young_users_and_keys_are_not_seen() {
    let mut bed = Bed::new(FakeConfig {
        read_lag: Duration::from_secs(2),
        key_read_lag: Duration::from_secs(3),
        ..FakeConfig::default()
    });
    bed.ok("CreateUser&UserName=u&Path=/p/");
    let (id, _) = bed.new_key("u");
    assert_eq!(
        code(&bed.at(1999, ROOT, "GetUser&UserName=u")),
        "NoSuchEntity"
    );
    assert!(
        !bed.at(1999, ROOT, "ListUsers&PathPrefix=/p/")
            .body
            .contains("<UserName>")
    );
    assert_eq!(bed.at(2000, ROOT, "GetUser&UserName=u").status, 200);
    assert!(
        !bed.at(2999, ROOT, "ListAccessKeys&UserName=u")
            .body
            .contains(&id)
    );
    assert!(
        bed.at(3000, ROOT, "ListAccessKeys&UserName=u")
            .body
            .contains(&id)
    );
}

#[test]
fn sessions_need_their_token_and_end() {
    let mut bed = Bed::new(FakeConfig::default());
    let body = bed.ok("GetFederationToken&Name=fed&DurationSeconds=900");
    let key = Key {
        id: field(&body, "AccessKeyId"),
        secret: field(&body, "SecretAccessKey"),
        token: Some(field(&body, "SessionToken")),
    };
    let reply = bed.at(899_999, key, "GetCallerIdentity");
    assert_eq!(
        field(&reply.body, "Arn"),
        "arn:aws:sts::123456789012:federated-user/fed"
    );
    assert_eq!(
        code(&bed.at(900_000, key, "GetCallerIdentity")),
        "ExpiredToken"
    );
    let bare = Key { token: None, ..key };
    assert_eq!(code(&bed.at(0, bare, "GetCallerIdentity")), INVALID);
    assert_eq!(code(&bed.at(0, key, "GetSessionToken")), "AccessDenied");

    let role = "AssumeRole&RoleArn=arn:aws:iam::210987654321:role/a/b&RoleSessionName=ses";
    let body = bed.at(0, key, role).body;
    assert_eq!(
        field(&body, "Arn"),
        "arn:aws:sts::210987654321:assumed-role/b/ses"
    );
    let chained = format!("{role}&DurationSeconds=3601");
    assert_eq!(code(&bed.at(0, key, &chained)), "ValidationError");
}

#[test]
fn throttling_spares_sts() {
    let mut bed = Bed::new(FakeConfig {
        rate: Some(Rate {
            per_second: 1.0,
            burst: 2.0,
        }),
        ..FakeConfig::default()
    });
    bed.ok("ListUsers");
    bed.ok("ListUsers");
    assert_eq!(bed.code("ListUsers"), "Throttling");
    bed.ok("GetCallerIdentity");
    assert_eq!(bed.at(1000, ROOT, "ListUsers").status, 200);
}

#[test]
fn the_journal_tells_what_became_of_each_call() {
    let mut bed = Bed::new(FakeConfig::default());
    bed.engine
        .faults
        .add(Fault::on("CreateUser", FaultKind::LostReply).times(1));
    bed.engine
        .faults
        .add(Fault::on("DeleteUser", FaultKind::access_denied()));
    bed.root("CreateUser&UserName=u");
    bed.root("CreateUser&UserName=u");
    bed.root("DeleteUser&UserName=u");
    bed.root("GetUser&UserName=u");
    let outcomes: Vec<Outcome> = bed
        .engine
        .journal
        .calls()
        .iter()
        .map(|c| c.outcome.clone())
        .collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Lost,
            Outcome::Error("EntityAlreadyExists".to_owned()),
            Outcome::Error("AccessDenied".to_owned()),
            Outcome::Applied,
        ]
    );
    let call = &bed.engine.journal.calls()[0];
    assert_eq!(call.user.as_deref(), Some("u"));
    assert_eq!(call.caller_key.as_deref(), Some(ROOT_KEY_ID));
}

/// The report that AWS would send now.
fn fetched(bed: &mut Bed) -> String {
    let body = bed.ok("GetCredentialReport");
    let csv = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        field(&body, "Content"),
    );
    String::from_utf8(csv.expect("base64")).expect("text")
}

#[test]
fn the_credential_report_tells_keys_and_passwords_and_may_be_old() {
    let mut bed = Bed::new(FakeConfig {
        report_max_age: Duration::from_secs(4 * 3600),
        ..FakeConfig::default()
    });
    assert_eq!(bed.code("GetCredentialReport"), "ReportNotPresent");
    bed.ok("CreateUser&UserName=a,b&Path=/keylease/c/");
    bed.new_key("a,b");
    let (second, _) = bed.new_key("a,b");
    bed.ok(&format!(
        "UpdateAccessKey&UserName=a,b&AccessKeyId={second}&Status=Inactive"
    ));
    bed.ok("CreateLoginProfile&UserName=a,b&Password=x");
    let state = |body: &str| field(body, "State").to_owned();
    assert_eq!(state(&bed.ok("GenerateCredentialReport")), "STARTED");
    assert_eq!(state(&bed.ok("GenerateCredentialReport")), "COMPLETE");
    let csv = fetched(&mut bed);
    let mut lines = csv.lines();
    let head: Vec<_> = lines.next().expect("a head").split(',').collect();
    assert_eq!(
        (head.len(), head[7], head[13]),
        (23, "mfa_active", "access_key_2_active")
    );
    assert!(
        lines
            .next()
            .is_some_and(|l| l.starts_with("<root_account>,"))
    );
    let user = lines.find(|l| l.starts_with("\"a,b\",")).expect("the user");
    let fields: Vec<_> = user
        .splitn(3, "\",")
        .last()
        .expect("fields")
        .split(',')
        .collect();
    // From user_creation_time on: password, MFA, first key, second key.
    assert_eq!(
        (fields[1], fields[5], fields[6], fields[11]),
        ("true", "false", "true", "false")
    );
    assert_eq!(fields.len(), 21);
    bed.ok("CreateUser&UserName=later");
    bed.ok("GenerateCredentialReport");
    assert_eq!(fetched(&mut bed), csv, "the old one is handed out");
    let four_hours = 4 * 3600 * 1000 + 1;
    let reply = bed.at(four_hours, ROOT, "GenerateCredentialReport");
    assert_eq!(state(&reply.body), "STARTED");
    assert!(fetched(&mut bed).contains("later"));
}

#[test]
fn users_are_listed_by_path_and_in_pages() {
    let mut bed = Bed::new(FakeConfig::default());
    for n in 0..5 {
        bed.ok(&format!("CreateUser&UserName=u{n}&Path=/keylease/one/"));
    }
    bed.ok("CreateUser&UserName=other&Path=/keylease/two/");
    let list = "ListUsers&PathPrefix=/keylease/one/&MaxItems=3";
    let first = bed.ok(list);
    assert_eq!(first.matches("<UserName>").count(), 3);
    let marker = field(&first, "Marker").to_owned();
    let second = bed.ok(&format!("{list}&Marker={marker}"));
    assert_eq!(second.matches("<UserName>").count(), 2);
    assert_eq!(field(&second, "IsTruncated"), "false");
}
