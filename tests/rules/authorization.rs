//! The printed policy, and the stand-in that tests it, against AWS's Service
//! Authorization Reference: which resources and condition keys each action has.
//! A statement that names others is none to AWS, whatever it was meant to say.

use std::path::Path;

use keylease_testbed::aws::authorised_actions;
use keylease_testbed::operator::printed_policy;
use keylease_testbed::paths;
use serde_json::Value;

const KEYLEASE: &str = env!("CARGO_BIN_EXE_keylease");

/// Every flag, so that every statement is printed.
const EVERYTHING: &[&str] = &[
    "--account-id=123456789012",
    "--cluster-id=c1",
    "--boundary=arn:aws:iam::123456789012:policy/b",
    "--allow-policy=arn:aws:iam::aws:policy/ReadOnlyAccess",
    "--inline",
    "--allow-group=team/readers",
    "--read-group=readers",
    "--assume-role=arn:aws:iam::123456789012:role/dev",
    "--static-user=arn:aws:iam::123456789012:user/apps/legacy",
    "--federation",
    "--root-user-arn=arn:aws:iam::123456789012:user/ops/keylease-operator",
];

/// The reference, as the installed package carries it.
struct Reference(Value);

impl Reference {
    fn load() -> Self {
        let path = paths::authorization_reference().unwrap();
        Self(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    }

    fn action(&self, action: &str) -> &Value {
        let (service, name) = action.split_once(':').unwrap();
        let found = &self.0[service]["privileges"][name];
        assert!(found.is_object(), "AWS has no action {action}");
        found
    }

    /// The names of the resource types of an action.
    fn kinds(&self, action: &str) -> Vec<&str> {
        let kinds = self.action(action)["resource_types"].as_object().unwrap();
        kinds
            .keys()
            .map(String::as_str)
            .filter(|k| !k.is_empty())
            .collect()
    }

    /// The ARNs of these resource types up to the name, without partition and
    /// account: `iam:user/`.
    fn forms(&self, action: &str) -> Vec<String> {
        let service = action.split_once(':').unwrap().0;
        let arn = |kind: &&str| form(self.0[service]["resources"][*kind]["arn"].as_str().unwrap());
        self.kinds(action).iter().map(arn).collect()
    }

    fn condition_keys(&self, action: &str) -> Vec<&str> {
        let service = action.split_once(':').unwrap().0;
        let types = self.action(action)["resource_types"].as_object().unwrap();
        let of_action = types
            .values()
            .flat_map(|t| t["condition_keys"].as_array().unwrap());
        let resources = &self.0[service]["resources"];
        let of_kinds = self.kinds(action).into_iter();
        let of_kinds = of_kinds.flat_map(|k| resources[k]["condition_keys"].as_array().unwrap());
        of_action
            .chain(of_kinds)
            .filter_map(Value::as_str)
            .collect()
    }
}

/// Service and kind of an ARN.
fn form(arn: &str) -> String {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let kind = parts[5].split_once('/').map_or(parts[5], |(kind, _)| kind);
    format!("{}:{kind}/", parts[2])
}

/// One or many.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(all) => all.iter().map(|v| v.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

#[test]
fn each_printed_statement_means_something_to_aws() {
    let reference = Reference::load();
    let policy = printed_policy(Path::new(KEYLEASE), EVERYTHING).unwrap();
    let policy: Value = serde_json::from_str(&policy).unwrap();
    let mut checked = 0;
    for statement in policy["Statement"].as_array().unwrap() {
        let conditions = statement["Condition"].as_object().into_iter().flatten();
        let keys: Vec<&String> = conditions
            .flat_map(|(_, c)| c.as_object().unwrap().keys())
            .collect();
        for action in strings(&statement["Action"]) {
            let forms = reference.forms(action);
            for resource in strings(&statement["Resource"]) {
                match forms.is_empty() {
                    true => assert_eq!(resource, "*", "{action} has no resource types"),
                    false => assert!(forms.contains(&form(resource)), "{action} on {resource}"),
                }
            }
            let known = reference.condition_keys(action);
            for key in &keys {
                assert!(
                    known.contains(&key.as_str()),
                    "{action} has no key {key}: {known:?}"
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 35, "{checked}");
}

#[test]
fn the_stand_in_authorises_on_what_aws_authorises_on() {
    let reference = Reference::load();
    for (action, kind) in authorised_actions() {
        let kinds = reference.kinds(action);
        match kind {
            Some(kind) => assert!(kinds.contains(&kind), "{action}: {kinds:?}"),
            None => assert!(kinds.is_empty(), "{action}: {kinds:?}"),
        }
    }
}
