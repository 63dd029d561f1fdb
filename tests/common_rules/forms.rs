//! Names of AWS that are right and wrong, for every place that judges them.

use serde_json::{Value, json};

use super::{Case, Kind, rule};

/// All of them as cases for the definitions.
pub fn cases() -> Vec<Case> {
    let region = |name: &str| json!({"region": name});
    let policy = |partition: &str| {
        let arn = format!("arn:{partition}:iam::123456789012:policy/bound");
        json!({"iamUser": {"policyArns": [arn]}})
    };
    let key = |text: &str| json!({"iamUser": {"tags": {text: "v"}}});
    let value = |text: &str| json!({"iamUser": {"tags": {"k": text}}});
    let mut all = Vec::new();
    let mut add = |kind, good: &[&str], bad: &[&str], change: &dyn Fn(&str) -> Value, says| {
        for n in 0..good.len().max(bad.len()) {
            let (good, bad) = (good[n % good.len()], bad[n % bad.len()]);
            all.push(rule(kind, change(good), change(bad), says));
        }
    };
    let no_policy = "policyArns must be ARNs of managed policies";
    add(
        Kind::Account,
        &REGIONS,
        &NO_REGIONS,
        &region,
        "region must be an AWS region name",
    );
    add(Kind::Role, &PARTITIONS, &NO_PARTITIONS, &policy, no_policy);
    add(Kind::Role, &TAG_KEYS, &NO_TAGS, &key, "tag keys have 1-128");
    add(
        Kind::Role,
        &TAG_KEYS,
        &NO_TAGS,
        &value,
        "tag values have at most 256",
    );
    all
}

/// Regions that AWS has, in all its partitions.
pub const REGIONS: [&str; 10] = [
    "us-east-1",
    "mx-central-1",
    "ap-southeast-7",
    "us-gov-west-1",
    "cn-northwest-1",
    "eusc-de-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "eu-isoe-west-1",
    "us-isof-south-1",
];

/// What is no region.
pub const NO_REGIONS: [&str; 10] = [
    "Frankfurt",
    "us-east-1a",
    "us-east",
    "us-1",
    "us--east-1",
    "-us-east-1",
    "us_east_1",
    "US-EAST-1",
    "us-east-1\n",
    "us-east-1 ",
];

/// Partitions that AWS has.
pub const PARTITIONS: [&str; 8] = [
    "aws",
    "aws-cn",
    "aws-us-gov",
    "aws-eusc",
    "aws-iso",
    "aws-iso-b",
    "aws-iso-e",
    "aws-iso-f",
];

/// What is no partition.
pub const NO_PARTITIONS: [&str; 7] = [
    "awsx", "aws-", "aws--cn", "aws-iso-", "AWS", "azure", "aws-cn\n",
];

/// Tag keys that IAM takes; a value of the same letters is fine too.
pub const TAG_KEYS: [&str; 7] = [
    "cost center",
    "Kostenstelle für Zürich",
    "チーム",
    "開発",
    "бюджет",
    "a\u{3000}b",
    "x_.:/=+-@1",
];

/// What IAM does not take, as a key or as a value.
pub const NO_TAGS: [&str; 10] = [
    "te*m", "te\nam", "te\tam", "a,b", "a#b", "{a}", "🔑", "e\u{301}", "aws:team", "AWS:team",
];
