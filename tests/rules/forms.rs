//! One rule for names of AWS, wherever they are judged: the definitions, the
//! reconciler, the command line and the chart's schema agree on one table.

use keylease_api::forms::{self, Form};
use keylease_api::{AwsAccount, AwsRole};
use regex::Regex;
use serde_json::{Value, json};

use crate::common_rules::Kind;
use crate::common_rules::forms::{
    NO_PARTITIONS, NO_REGIONS, NO_TAGS, PARTITIONS, REGIONS, TAG_KEYS,
};

fn account_takes(change: &Value) -> bool {
    let object = Kind::Account.object("a", change);
    let account: AwsAccount = serde_json::from_value(object).unwrap();
    account.validate_cel().is_ok()
}

fn role_takes(change: &Value) -> bool {
    let object = Kind::Role.object("a", change);
    let role: AwsRole = serde_json::from_value(object).unwrap();
    role.validate_cel().is_ok()
}

/// Each text with what is to be said of it.
fn judged<'a>(good: &[&'a str], bad: &[&'a str]) -> Vec<(&'a str, bool)> {
    let good = good.iter().map(|text| (*text, true));
    good.chain(bad.iter().map(|text| (*text, false))).collect()
}

#[test]
fn regions() {
    let schema = include_str!("../../charts/keylease/values.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let region = &schema["properties"]["aws"]["properties"]["region"];
    let of_chart = Regex::new(region["pattern"].as_str().unwrap()).unwrap();
    assert!(of_chart.is_match(""), "the chart names none by default");
    for (name, fine) in judged(&REGIONS, &NO_REGIONS) {
        assert_eq!(Form::Region.fits(name), fine, "{name:?}");
        assert_eq!(of_chart.is_match(name), fine, "chart: {name:?}");
        assert_eq!(
            account_takes(&json!({"region": name})),
            fine,
            "definition: {name:?}"
        );
    }
}

#[test]
fn partitions() {
    for (name, fine) in judged(&PARTITIONS, &NO_PARTITIONS) {
        assert_eq!(forms::partition(name).is_ok(), fine, "{name:?}");
        let policy = format!("arn:{name}:iam::123456789012:policy/bound");
        let role = format!("arn:{name}:iam::123456789012:role/reader");
        assert_eq!(Form::PolicyArn.fits(&policy), fine, "{policy:?}");
        assert_eq!(Form::RoleArn.fits(&role), fine, "{role:?}");
        let bound = json!({"iamUsers": {"permissionsBoundaryArn": policy}});
        assert_eq!(account_takes(&bound), fine, "definition: {policy:?}");
        let attached = json!({"iamUser": {"policyArns": [policy]}});
        assert_eq!(role_takes(&attached), fine, "definition: {policy:?}");
        let assumed = json!({"iamUser": null, "assumedRole": {"roleArns": [role]}});
        assert_eq!(role_takes(&assumed), fine, "definition: {role:?}");
    }
}

#[test]
fn tags() {
    for (text, fine) in judged(&TAG_KEYS, &NO_TAGS) {
        let key = json!({"iamUser": {"tags": {text: "v"}}});
        let value = json!({"iamUser": {"tags": {"k": text}}});
        assert_eq!(forms::check_tag_key(text).is_ok(), fine, "key {text:?}");
        assert_eq!(forms::check_tag_value(text).is_ok(), fine, "value {text:?}");
        assert_eq!(role_takes(&key), fine, "definition: key {text:?}");
        assert_eq!(role_takes(&value), fine, "definition: value {text:?}");
    }
}
