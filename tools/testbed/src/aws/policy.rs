//! Policy documents: what AWS's managed ones say, and what a set of them says to
//! one call. The evaluation itself is iam-rs'.

#[cfg(test)]
mod tests;

use iam_rs::{
    Arn, Context, Decision, IAMPolicy, IAMRequest, PolicyEvaluator, Principal, PrincipalId,
};
use serde_json::{Value, json};

use super::error::AwsError;

/// The AWS-managed policies that exist here, and the rights that they give on
/// IAM and STS; on other services nobody here is asked.
const MANAGED: [(&str, &[&str]); 8] = [
    ("AdministratorAccess", &["*"]),
    ("AmazonEC2ReadOnlyAccess", &["ec2:Describe*"]),
    ("AmazonS3FullAccess", &["s3:*"]),
    ("AmazonS3ReadOnlyAccess", &["s3:Get*", "s3:List*"]),
    (
        "IAMReadOnlyAccess",
        &["iam:Get*", "iam:List*", "iam:GenerateCredentialReport"],
    ),
    ("PowerUserAccess", &["iam:ListRoles"]),
    (
        "ReadOnlyAccess",
        &["iam:Get*", "iam:List*", "iam:GenerateCredentialReport"],
    ),
    ("job-function/ViewOnlyAccess", &["iam:List*"]),
];

/// The AWS-managed policies by which AWS cripples a user whose key it found in
/// public, and what they deny of IAM.
const QUARANTINES: [&str; 3] = [
    "AWSCompromisedKeyQuarantine",
    "AWSCompromisedKeyQuarantineV2",
    "AWSCompromisedKeyQuarantineV3",
];
const QUARANTINED: [&str; 10] = [
    "iam:AddUserToGroup",
    "iam:AttachGroupPolicy",
    "iam:AttachUserPolicy",
    "iam:CreateAccessKey",
    "iam:CreateLoginProfile",
    "iam:CreateUser",
    "iam:DetachUserPolicy",
    "iam:PutGroupPolicy",
    "iam:PutUserPolicy",
    "iam:UpdateAccessKey",
];

/// What a policy says that only has to exist.
pub(super) fn harmless() -> String {
    allow(&["s3:GetObject"])
}

/// The ARNs and documents of AWS's own policies.
pub(super) fn managed() -> impl Iterator<Item = (String, String)> {
    let arn = |name| format!("arn:aws:iam::aws:policy/{name}");
    let quarantines = QUARANTINES.iter();
    let quarantines = quarantines.map(move |name| (arn(name), document("Deny", &QUARANTINED)));
    MANAGED
        .iter()
        .map(move |(name, actions)| (arn(name), allow(actions)))
        .chain(quarantines)
}

fn allow(actions: &[&str]) -> String {
    document("Allow", actions)
}

fn document(effect: &str, actions: &[&str]) -> String {
    let statement = json!({"Effect": effect, "Action": actions, "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

/// What documents say to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    DeniedExplicitly,
    NotAllowed,
}

/// A call, as policies see it.
pub(super) struct Asked<'a> {
    pub(super) caller: &'a str,
    /// Such as `iam:GetUser`.
    pub(super) action: &'a str,
    /// The resource, or `None` for an action that has none: then only `*` is
    /// meant by a statement that allows it.
    pub(super) resource: Option<&'a str>,
    pub(super) context: &'a Context,
}

impl Asked<'_> {
    /// What these documents say together.
    pub(super) fn by<'a>(&self, documents: impl IntoIterator<Item = &'a str>) -> Verdict {
        let policies: Result<Vec<_>, _> = documents.into_iter().map(parse).collect();
        let decision = policies.and_then(|policies| {
            let request = IAMRequest::new_with_context(
                Principal::Aws(PrincipalId::String(self.caller.to_owned())),
                self.action,
                // No pattern but `*` has another service than IAM's or STS's.
                Arn::parse(&owned_by_number(
                    self.resource.unwrap_or("arn:none:none:::none"),
                ))
                .map_err(|e| e.to_string())?,
                self.context.clone(),
            );
            let evaluator = PolicyEvaluator::with_policies(policies);
            let result = evaluator.evaluate(&request).map_err(|e| e.to_string())?;
            Ok(result.decision)
        });
        match decision {
            Ok(Decision::Allow) => Verdict::Allowed,
            Ok(Decision::NotApplicable) => Verdict::NotAllowed,
            // A document that cannot be read was let in wrongly.
            Ok(Decision::Deny) | Err(_) => Verdict::DeniedExplicitly,
        }
    }
}

/// The least that makes a policy of a user: a document that can be evaluated.
pub(super) fn check(document: &str) -> Result<(), AwsError> {
    let malformed = |why| AwsError::new(400, "MalformedPolicyDocument", why);
    parse(document).map(drop).map_err(malformed)
}

fn parse(document: &str) -> Result<IAMPolicy, String> {
    let mut policy: Value = serde_json::from_str(document).map_err(|e| e.to_string())?;
    let statements = policy.get_mut("Statement");
    let statements: Vec<&mut Value> = match statements {
        Some(Value::Array(all)) => all.iter_mut().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    for statement in statements {
        if let Some(conditions) = statement.get_mut("Condition") {
            like_aws(conditions);
        }
        for field in ["Resource", "NotResource"] {
            for resource in statement.get_mut(field).into_iter().flat_map(each) {
                *resource = owned_by_number(resource);
            }
        }
    }
    // What AWS takes for granted, iam-rs wants to be said.
    if let Some(policy) = policy.as_object_mut() {
        policy
            .entry("Version")
            .or_insert_with(|| json!("2008-10-17"));
    }
    IAMPolicy::from_json(&policy.to_string()).map_err(|e| e.to_string())
}

/// One text, or each of a list.
fn each(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(one) => vec![one],
        Value::Array(all) => all
            .iter_mut()
            .filter_map(|v| match v {
                Value::String(one) => Some(one),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// AWS's own policies belong to the account `aws`, which iam-rs takes for none:
/// here a number that nobody has stands for it.
fn owned_by_number(arn: &str) -> String {
    arn.replace(":iam::aws:", ":iam::000000000000:")
}

/// AWS documents that `ArnEquals` and `ArnLike` "behave identically"; iam-rs
/// compares the former without wildcards.
fn like_aws(conditions: &mut Value) {
    let Some(operators) = conditions.as_object_mut() else {
        return;
    };
    let old: Vec<String> = operators
        .keys()
        .filter(|o| o.contains("Arn"))
        .cloned()
        .collect();
    for operator in old {
        let new = operator
            .replace("ArnEquals", "ArnLike")
            .replace("ArnNotEquals", "ArnNotLike");
        let Some(mut keys) = operators.remove(&operator) else {
            continue;
        };
        // Both may stand there, each about other keys.
        if let (Some(Value::Object(there)), Some(more)) =
            (operators.get_mut(&new), keys.as_object_mut())
        {
            there.append(more);
        } else {
            operators.insert(new, keys);
        }
    }
}
