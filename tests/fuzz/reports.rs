//! IAM's credential report: CSV with names in it that others choose.

use jiff::{SignedDuration, Timestamp};
use keylease_api::AwsCredentialRequest;
use keylease_core::plan::intent::user_name_of;
use keylease_core::plan::naming::user_path;
use keylease_core::plan::sweep::census::Census;
use keylease_core::plan::sweep::report::CredentialReport;
use keylease_core::plan::sweep::suspects::SuspectKind;
use keylease_core::plan::sweep::{Limits, ListedUser, Picture, judge as sweep};

use crate::harness::{Told, did, fuzz};
use crate::samples::cluster;

const TOKENS: [&str; 10] = [
    "true",
    "false",
    "N/A",
    "not_supported",
    "no_information",
    "2027-01-15T08:00:00+00:00",
    "arn:aws:iam::123456789012:user/keylease/cluster/",
    "arn,",
    "access_key_1_active,",
    "\"\"",
];

/// A lease of the report's account and the user that it has.
fn leased() -> (AwsCredentialRequest, ListedUser, Timestamp) {
    let request: AwsCredentialRequest =
        serde_json::from_str(include_str!("corpus/filed/a-lease-at-rest.json")).unwrap();
    let status = request.status.as_ref().unwrap();
    let issued = status.lease.as_ref().unwrap().issued_at.0;
    let user = ListedUser {
        name: user_name_of(&request, &cluster()),
        path: user_path("/keylease/", &cluster(), ""),
        created: issued,
    };
    (request, user, issued)
}

/// A report makes a lease look for itself and does nothing else: no user becomes
/// an orphan by it, and no lease is doubted that it has no line for.
fn judge(input: &[u8]) -> Told {
    let (mut request, user, issued) = leased();
    let arn = format!("arn:aws:iam::123456789012:user{}{}", user.path, user.name);
    let status = request.status.as_mut().unwrap();
    let credential = status.credential.as_mut().unwrap();
    credential.arn = Some(arn.clone());
    credential.user_name = Some(user.name.clone());
    let generated = issued + SignedDuration::from_hours(1);
    let Ok(report) = CredentialReport::read(input, generated) else {
        return did("refused");
    };
    let row = report.row(&arn).cloned();
    if let Some(row) = &row {
        ensure!(
            row.active_keys.len() <= 2,
            "{row:?}: AWS has room for two keys"
        );
    }
    let mut census = Census::default();
    census.add(&request, &cluster());
    let picture = Picture {
        account_id: "123456789012".to_owned(),
        path: user.path.clone(),
        listed_at: generated,
        users: vec![user],
        census,
        quarantined: Default::default(),
        report: Some(report),
    };
    let limits = Limits {
        min_age: SignedDuration::ZERO,
        patience: SignedDuration::ZERO,
    };
    let found = sweep(&picture, limits, None, None, generated);
    ensure!(found.orphans().next().is_none(), "a report made an orphan");
    let kinds: Vec<_> = found.suspects.iter().map(|s| s.kind).collect();
    ensure!(
        row.is_some() || kinds.is_empty(),
        "{kinds:?} without a line"
    );
    ensure!(
        !kinds.contains(&SuspectKind::UserMissing),
        "it is on the list of users"
    );
    did((row.map(|r| (r.active_keys.len(), r.encumbered)), kinds))
}

#[test]
fn reports() {
    fuzz("reports", &TOKENS, judge);
}
