//! Documentation, alerts and dashboard name what there is.

use std::collections::BTreeSet;

use super::*;

const PAGE: &str = include_str!("../../docs/operations.md");
const ALERTS: &str = include_str!("../../charts/keylease/files/alerts.yaml");
const DASHBOARD: &str = include_str!("../../charts/keylease/files/dashboard.json");

const ALERT_TESTS: &str = include_str!("../../tests/alerts.yaml");

/// Names of series, without what Prometheus appends for histograms.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let named = text
        .split(word)
        .filter(|w| w.starts_with("keylease_") && *w != "keylease_");
    named
        .map(|w| w.strip_suffix("_bucket").unwrap_or(w).to_owned())
        .collect()
}

/// The names in the table of the documentation.
fn documented() -> BTreeSet<String> {
    let rows = PAGE.lines().filter(|l| l.starts_with("| `keylease_"));
    rows.flat_map(|row| names(row.split('|').nth(1).unwrap()))
        .collect()
}

/// What `/metrics` shows once everything has happened.
fn text() -> String {
    let metrics = Metrics::default();
    metrics.call("iam", "CreateUser", "ok");
    metrics.reconcile("request", "ok");
    metrics.transition("Issued");
    metrics.roll("rolled");
    metrics.allowed("123456789012", Service::Iam, 5.0);
    metrics.calls_waiting("123456789012", Service::Iam, Class::Issue, 0);
    metrics.requests_waiting("123456789012", Service::Iam, Class::Issue, 0);
    metrics.waited(Service::Iam, Class::Issue, Duration::ZERO);
    metrics.sweep.ended("Swept", Duration::ZERO);
    metrics.sweep.suspected("key_lost");
    metrics.inventory.show_one_of_each();
    metrics.render()
}

/// The names in it.
fn shown() -> BTreeSet<String> {
    let text = text();
    let types = text.lines().filter_map(|l| l.strip_prefix("# TYPE "));
    types
        .map(|line| match line.split_once(' ') {
            Some((name, "counter")) => format!("{name}_total"),
            Some((name, _)) => name.to_owned(),
            None => line.to_owned(),
        })
        .collect()
}

#[test]
fn the_documentation_lists_every_metric_and_no_other() {
    assert_eq!(documented(), shown());
}

#[test]
fn alerts_and_dashboard_ask_for_what_there_is() {
    let known = documented();
    for (what, text) in [("alerts", ALERTS), ("dashboard", DASHBOARD)] {
        let unknown: Vec<_> = names(text).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{what}: {unknown:?}");
    }
    let unseen: Vec<_> = known.difference(&names(DASHBOARD)).cloned().collect();
    let in_alerts = names(ALERTS);
    let unseen: Vec<_> = unseen.iter().filter(|n| !in_alerts.contains(*n)).collect();
    let seldom = ["keylease_leases_overdue", "keylease_sweep_duration_seconds"];
    assert_eq!(unseen, seldom);
}

/// A series without its value: the name, and the names of its labels. Bounds of
/// buckets keep their value; what Prometheus adds is left out.
fn series(line: &str) -> (&str, BTreeSet<&str>) {
    let (name, labels) = line.split_once('{').unwrap_or((line, ""));
    let labels = labels.split(['}', ',']).filter(|label| !label.is_empty());
    let kept = labels.map(|label| match label.starts_with("le=") {
        true => label,
        false => label.split('=').next().unwrap_or(label),
    });
    let added = ["job", "instance"];
    (name, kept.filter(|label| !added.contains(label)).collect())
}

#[test]
fn alerts_are_tested_on_series_that_there_are() {
    let text = text();
    let exported: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(line, _)| series(line))
        .collect();
    let tested = ALERT_TESTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- series: "));
    let unknown: Vec<_> = tested
        .map(series)
        .filter(|series| !exported.contains(series))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_alert_is_tested() {
    let alerts = ALERTS
        .lines()
        .filter_map(|l| l.trim().strip_prefix("- alert: "));
    for alert in alerts {
        let named = format!("alertname: {alert}\n");
        let cases = ALERT_TESTS.matches(&named).count();
        assert!(cases >= 2, "{alert} fires in one, and not in another");
    }
}

#[test]
fn every_alert_has_a_runbook() {
    let alerts: Vec<_> = ALERTS
        .lines()
        .filter_map(|l| l.trim().strip_prefix("- alert: "))
        .collect();
    assert!(!alerts.is_empty());
    for alert in alerts {
        assert!(PAGE.contains(&format!("\n### {alert}\n")), "{alert}");
        let link = format!("#{}\n", alert.to_lowercase());
        assert!(ALERTS.contains(&link), "{alert} has no link");
    }
}
