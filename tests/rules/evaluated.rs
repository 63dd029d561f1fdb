//! The table of cases against the CEL rules, evaluated in this process.

use keylease_api::{AwsAccount, AwsCredentialRequest, AwsRole, crds};
use serde_json::Value;

use crate::common_rules::{By, Kind, cases, updates};

/// What the rules of the kind say to the object, or to its change.
pub fn judge(kind: Kind, object: Value, old: Option<Value>) -> Result<(), String> {
    macro_rules! judged_as {
        ($kind:ty) => {{
            let read = |value| serde_json::from_value::<$kind>(value).expect("it decodes");
            let object = read(object);
            match old {
                Some(old) => object.validate_cel_update(&read(old)),
                None => object.validate_cel(),
            }
            .map_err(|errors| errors.to_string())
        }};
    }
    match kind {
        Kind::Account => judged_as!(AwsAccount),
        Kind::Role => judged_as!(AwsRole),
        Kind::Request => judged_as!(AwsCredentialRequest),
    }
}

/// Every valid object of the table passes all rules, and every one that a rule
/// is to refuse is refused by that rule.
#[test]
fn objects_are_judged_by_their_rules() {
    let mut surprises = Vec::new();
    for case in cases().into_iter().filter(|c| c.by != By::Characters) {
        let object = |change| case.kind.object("a", change);
        if let Err(error) = judge(case.kind, object(&case.good), None) {
            surprises.push(format!("refused {}: {error}", case.good));
        }
        if case.by == By::Schema {
            continue;
        }
        match judge(case.kind, object(&case.bad), None) {
            Err(error) if error.contains(case.says) => {}
            other => surprises.push(format!("{}: {other:?}, not {:?}", case.bad, case.says)),
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

/// What must not change cannot be changed, and everything else can.
#[test]
fn changes_are_judged_by_their_rules() {
    let mut surprises = Vec::new();
    for update in updates() {
        let kind = update.kind;
        let old = || Some(kind.object("a", &update.from));
        if let Err(error) = judge(kind, kind.object("a", &update.good), old()) {
            surprises.push(format!("refused {}: {error}", update.good));
        }
        match judge(kind, kind.object("a", &update.bad), old()) {
            Err(error) if error.contains(update.says) => {}
            other => surprises.push(format!(
                "{} to {}: {other:?}, not {:?}",
                update.from, update.bad, update.says
            )),
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

/// No rule is written that no case breaks.
#[test]
fn every_rule_has_a_case() {
    let broken = |kind: &str, message: &str| {
        let cases = cases();
        let by_case = cases
            .iter()
            .any(|c| c.kind.name() == kind && message.contains(c.says));
        let updates = updates();
        by_case
            || updates
                .iter()
                .any(|u| u.kind.name() == kind && message.contains(u.says))
    };
    let mut seen = 0;
    for crd in crds() {
        let kind = crd.spec.names.kind.clone();
        for message in messages(&serde_json::to_value(&crd.spec.versions).unwrap()) {
            assert!(
                broken(&kind, &message),
                "no case breaks the rule of {kind}: {message}"
            );
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} rules were found");
}

/// All messages of rules in a schema.
fn messages(schema: &Value) -> Vec<String> {
    let inside: Box<dyn Iterator<Item = &Value>> = match schema {
        Value::Object(map) => Box::new(map.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => return Vec::new(),
    };
    let mut all: Vec<String> = inside.flat_map(messages).collect();
    let rules = schema["x-kubernetes-validations"].as_array();
    for rule in rules.into_iter().flatten() {
        all.push(
            rule["message"]
                .as_str()
                .expect("a rule has a message")
                .to_owned(),
        );
    }
    all
}
