//! What a failed effect means for the request: try again later, or take back
//! what was made and say what to change.

use super::effect::{Effect, Fault, FaultClass};
use super::intent::Permission;
use super::reasons::{Reason, Verdict};
use super::session_spec::SessionCall;

/// The judgement on a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Time may heal it: keep what there is and try again after a pause.
    Retry(Verdict),
    /// It will fail again until somebody changes something: leave no half-made
    /// user behind meanwhile.
    TakeBack(Verdict),
}

/// Judges a failure that the facts alone do not explain.
pub fn judge(effect: &Effect, fault: &Fault) -> Judgement {
    let reason = reason(effect, fault.class);
    let verdict = Verdict::new(reason, message(effect, reason, fault));
    if issues(effect) && takes_back(effect, fault) {
        Judgement::TakeBack(verdict)
    } else {
        Judgement::Retry(verdict)
    }
}

/// Effects that build a credential up; the others take one down, and those
/// never give up.
fn issues(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::CheckSecret
            | Effect::PublishSecret(_)
            | Effect::CreateUser
            | Effect::Grant(_)
            | Effect::CreateKey
    )
}

fn takes_back(effect: &Effect, fault: &Fault) -> bool {
    match fault.class {
        FaultClass::Refused | FaultClass::AccessDenied => true,
        FaultClass::QuotaExceeded => !matches!(effect, Effect::CreateKey),
        FaultClass::NotFound if effect.on_kubernetes() => true,
        // A policy or group that does not exist. (A user that IAM's readers do
        // not see yet is also "not found", and only wants patience.)
        FaultClass::NotFound => {
            matches!(effect, Effect::Grant(p) if !speaks_of_user(&fault.message, p))
        }
        _ => false,
    }
}

/// Whether AWS finds no user where there was one: somebody deleted it, with what
/// was on it, or IAM's readers do not see it yet.
pub fn misses_user(effect: &Effect, fault: &Fault) -> bool {
    fault.class == FaultClass::NotFound
        && match effect {
            Effect::CreateKey | Effect::ListKeys => true,
            Effect::Grant(permission) => speaks_of_user(&fault.message, permission),
            _ => false,
        }
}

/// Whether the sentence is about a user that is missing, not about the
/// permission: AWS says "The user with name … cannot be found.", "The group with
/// name … cannot be found." and "Policy arn:… does not exist or is not
/// attachable." The word that it begins with tells; names may hold any of them.
fn speaks_of_user(message: &str, permission: &Permission) -> bool {
    let sentence = message
        .split_once(": ")
        .map_or(message, |(_code, text)| text);
    let mut words = sentence
        .split(|c: char| c.is_whitespace() || "\"'`".contains(c))
        .map(|word| word.trim_end_matches([',', ';', ':', '.']))
        .filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case("the"));
    let first = words.clone().next().unwrap_or_default();
    match first.to_ascii_lowercase().as_str() {
        "user" => true,
        "group" | "policy" => false,
        // Not AWS's words: whom do they name in full?
        _ => match permission {
            Permission::ManagedPolicy(arn) => !words.any(|word| word == arn),
            Permission::Group(name) => !words.any(|word| word == name),
            Permission::InlinePolicy => true,
        },
    }
}

/// Whether a denial of class [`FaultClass::Unseen`] names this very user.
pub fn is_about(fault: &Fault, user: &str) -> bool {
    let resource = fault.message.split_once(" on resource: user ");
    let named = resource.and_then(|(_, resource)| resource.split(' ').next());
    !user.is_empty() && named == Some(user)
}

/// Whether the API server refused the Secret for good: quota, admission, a
/// missing right, a namespace that is going away. Everything else that it does
/// not serve is worth another try.
pub fn is_secret_refusal(effect: &Effect, class: FaultClass) -> bool {
    let secret = matches!(effect, Effect::CheckSecret | Effect::PublishSecret(_));
    secret
        && matches!(
            class,
            FaultClass::Refused | FaultClass::AccessDenied | FaultClass::NotFound
        )
}

fn reason(effect: &Effect, class: FaultClass) -> Reason {
    match class {
        _ if effect.on_kubernetes() => Reason::SecretRefused,
        FaultClass::Throttled => Reason::AwsThrottled,
        FaultClass::QuotaExceeded => Reason::AwsQuotaExceeded,
        FaultClass::AccessDenied => Reason::AwsAccessDenied,
        FaultClass::BadCredentials => Reason::AwsCredentialsInvalid,
        FaultClass::Refused | FaultClass::NotFound => Reason::RefusedByAws,
        _ => Reason::AwsUnavailable,
    }
}

fn message(effect: &Effect, reason: Reason, fault: &Fault) -> String {
    let hint = match reason {
        Reason::RefusedByAws => "; correct the AwsRole",
        Reason::AwsAccessDenied => {
            return format!(
                "{}: {}; allow the operator this call ({} prints what it needs){}",
                describe(effect),
                fault.message.trim_end_matches('.'),
                printed_by(effect),
                trusted_by(effect)
            );
        }
        Reason::AwsQuotaExceeded => "; raise the quota or end other leases",
        Reason::AwsCredentialsInvalid => "; check the AwsAccount's credentials",
        _ => "",
    };
    format!(
        "{}: {}{hint}",
        describe(effect),
        fault.message.trim_end_matches('.')
    )
}

/// The command that prints a policy with the right to make this call: some are
/// left out unless they are asked for.
fn printed_by(effect: &Effect) -> String {
    let flag = match effect {
        Effect::Grant(Permission::InlinePolicy) => " --inline".to_owned(),
        Effect::Grant(Permission::Group(group)) => format!(" --allow-group {group}"),
        Effect::ReadGroup(group) => format!(" --read-group {group}"),
        Effect::IssueSession(spec) => match &spec.call {
            SessionCall::AssumeRole { role_arn, .. } => format!(" --assume-role {role_arn}"),
            SessionCall::FederationToken { .. } => " --federation".to_owned(),
            SessionCall::SessionToken => String::new(),
        },
        _ => String::new(),
    };
    format!("keylease iam-policy{flag}")
}

/// What has to allow the call besides. EKS Pod Identity tags the operator's
/// session, and its tags go along unasked.
fn trusted_by(effect: &Effect) -> &'static str {
    match effect {
        Effect::IssueSession(spec) if matches!(spec.call, SessionCall::AssumeRole { .. }) => {
            ", and the role's trust policy has to allow it sts:AssumeRole and sts:TagSession"
        }
        _ => "",
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Begin(_) | Effect::Release | Effect::Report(_) => "writing the request".into(),
        Effect::HoldAccount(account) => format!("holding AwsAccount {account}"),
        Effect::CheckSecret => "the API server would not take the Secret".into(),
        Effect::PublishSecret(_) => "writing the Secret".into(),
        Effect::AmendSecret(_) => "renewing the Secret".into(),
        Effect::DeleteSecret(_) => "deleting the Secret".into(),
        Effect::Restart(workload, _) => format!("rolling {:?} {}", workload.kind, workload.name),
        Effect::DeleteRequest => "deleting the request".into(),
        Effect::IssueSession(spec) => match &spec.call {
            SessionCall::AssumeRole { role_arn, .. } => format!("AssumeRole {role_arn}"),
            SessionCall::FederationToken { .. } => "GetFederationToken".into(),
            SessionCall::SessionToken => "GetSessionToken".into(),
        },
        Effect::Claim(_) | Effect::Unclaim => "writing the AwsRole".into(),
        Effect::ReadGroup(group) => format!("reading the policies of group {group}"),
        Effect::FindUser(user) => format!("GetUser {user}"),
        Effect::CreateUser => "CreateUser".into(),
        Effect::InspectUser => "GetUser".into(),
        Effect::Grant(Permission::ManagedPolicy(arn)) => format!("AttachUserPolicy {arn}"),
        Effect::Grant(Permission::InlinePolicy) => "PutUserPolicy".into(),
        Effect::Grant(Permission::Group(name)) => format!("AddUserToGroup {name}"),
        Effect::ReadStanding => "asking how the key stands".into(),
        Effect::ListKeys => "ListAccessKeys".into(),
        Effect::CreateKey => "CreateAccessKey".into(),
        Effect::ProveKey => "GetCallerIdentity with the new key".into(),
        Effect::TakeInventory => "listing what is on the user".into(),
        Effect::Clear(attachment) => format!("removing {attachment} from the user"),
        Effect::DeleteUser => "DeleteUser".into(),
    }
}
