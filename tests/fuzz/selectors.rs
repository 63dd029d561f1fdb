//! Which namespaces a role is open to.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use keylease_api::AllowedNamespaces;
use keylease_core::plan::admission::allows;
use serde::Deserialize;

use crate::harness::{Told, did, fuzz};
use crate::samples;

const TOKENS: [&str; 14] = [
    "\"names\":",
    "\"*\"",
    "\"team\"",
    "\"selector\":",
    "\"matchLabels\":",
    "\"matchExpressions\":",
    "\"key\":",
    "\"operator\":",
    "\"In\"",
    "\"NotIn\"",
    "\"Exists\"",
    "\"DoesNotExist\"",
    "\"values\":",
    "\"labels\":",
];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Parts {
    allowed: AllowedNamespaces,
    labels: BTreeMap<String, String>,
}

/// Held against a reading of Kubernetes' documentation of its own: a namespace is
/// let in by name, or by a selector that selects something and selects it.
fn judge(input: &[u8]) -> Told {
    let Ok(Parts { allowed, labels }) = serde_json::from_slice::<Parts>(input) else {
        return did("refused");
    };
    let mut role = samples::role();
    role.spec.allowed_namespaces = Some(allowed.clone());
    let named = allowed.names.iter().any(|n| n == "*" || n == "team");
    let judged = allows(&role, "team", Some(&labels));
    let unread = allows(&role, "team", None);
    let selected = allowed
        .selector
        .as_ref()
        .is_some_and(|s| selects(s, &labels));
    let empty = allowed.selector.is_none_or(|s| parts(&s) == 0);
    match &judged {
        Ok(verdict) => ensure!(
            *verdict == Some(named || (!empty && selected)),
            "{verdict:?}, by name {named}, by label {selected}"
        ),
        Err(_) => ensure!(!named && !empty, "a selector that nobody has to read"),
    }
    let wanted = if named || empty { Some(named) } else { None };
    ensure!(
        unread == Ok(wanted),
        "{unread:?} where labels are not known"
    );
    did((judged.ok(), unread.ok(), labels.len().min(3)))
}

fn parts(selector: &LabelSelector) -> usize {
    let labels = selector.match_labels.as_ref().map_or(0, BTreeMap::len);
    labels + selector.match_expressions.as_ref().map_or(0, Vec::len)
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let mut wanted = selector.match_labels.iter().flatten();
    let mut rules = selector.match_expressions.iter().flatten();
    wanted.all(|(key, value)| labels.get(key) == Some(value)) && rules.all(|r| meets(r, labels))
}

fn meets(rule: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&rule.key);
    let listed = value.is_some_and(|v| rule.values.iter().flatten().any(|w| w == v));
    match rule.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

#[test]
fn selectors() {
    fuzz("selectors", &TOKENS, judge);
}
