//! Sweeps on paper.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::guard::Count;
use super::status::{ReportState, of_sweep};
use super::suspects::SuspectKind;
use super::*;
use crate::plan::admission::AccountFacts;
use crate::plan::effect::Effect;
use crate::plan::intent::{FINALIZER, identity_tags, user_name_of};
use crate::plan::ownership::UserFacts;
use crate::plan::reasons::Reason;
use crate::plan::{Step, next};
use keylease_api::{AwsCredentialRequest, Credential, Lease, Phase};

const PATH: &str = "/keylease/cluster/";
const LIMITS: Limits = Limits {
    min_age: SignedDuration::from_mins(10),
    patience: SignedDuration::from_hours(24),
};

fn cluster() -> ClusterId {
    ClusterId("cluster".into())
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
}

fn request(name: &str) -> AwsCredentialRequest {
    let mut request = crate::plan::tests::request();
    request.metadata.name = Some(name.into());
    request.metadata.uid = Some(format!("uid-of-{name}"));
    request
}

fn arn(name: &str) -> String {
    format!("arn:aws:iam::123456789012:user{PATH}{name}")
}

/// A request that is served since then.
fn served(name: &str, since: Timestamp) -> AwsCredentialRequest {
    let mut request = request(name);
    request.metadata.finalizers = Some(vec![FINALIZER.into()]);
    let user = user_name_of(&request, &cluster());
    let status = request.status.get_or_insert_default();
    status.phase = Some(Phase::Ready);
    status.lease = Some(Lease {
        id: String::new(),
        issued_at: Time(since),
        expires_at: Time(since + SignedDuration::from_hours(1)),
        max_expires_at: Time(since + SignedDuration::from_hours(2)),
        duration: "1h".into(),
        renewable: true,
        renewals: 0,
        renewed_for: None,
    });
    status.credential = Some(Credential {
        type_: "iamUser".into(),
        account_id: "123456789012".into(),
        access_key_id: "AKIA".into(),
        arn: Some(arn(&user)),
        user_name: Some(user),
        permissions: Vec::new(),
    });
    request
}

fn user_of(request: &AwsCredentialRequest, created: Timestamp) -> ListedUser {
    ListedUser {
        name: user_name_of(request, &cluster()),
        path: PATH.into(),
        created,
    }
}

fn picture(users: Vec<ListedUser>, requests: &[AwsCredentialRequest]) -> Picture {
    let mut census = Census::default();
    requests.iter().for_each(|r| census.add(r, &cluster()));
    Picture {
        account_id: "123456789012".into(),
        path: PATH.into(),
        listed_at: at(60),
        users,
        census,
        quarantined: Default::default(),
        report: None,
    }
}

fn standings(picture: &Picture) -> Vec<Standing> {
    let found = judge(picture, LIMITS, None, None, at(60));
    found.users.into_iter().map(|(_, s)| s).collect()
}

fn report(rows: &[(&str, &str)], generated: Timestamp) -> CredentialReport {
    let head = "user,arn,user_creation_time,password_enabled,password_last_used,\
        password_last_changed,password_next_rotation,mfa_active,access_key_1_active,\
        access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,\
        access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
        access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,\
        cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated";
    let mut csv = format!("{head}\n");
    for (arn, fields) in rows {
        csv.push_str(&format!(
            "\"a, quoted name\",{arn},2026-01-01T00:00:00+00:00,{fields}\n"
        ));
    }
    CredentialReport::read(csv.as_bytes(), generated).unwrap()
}

/// The fields from `password_enabled` on, with these in the places that matter.
fn fields(password: &str, key_1: (&str, &str), key_2: &str) -> String {
    let (active, made) = key_1;
    format!(
        "{password},N/A,N/A,N/A,false,{active},{made},N/A,N/A,N/A,{key_2},N/A,N/A,N/A,N/A,\
         false,N/A,false,N/A"
    )
}

#[test]
fn only_old_users_of_our_form_that_no_request_claims_are_orphans() {
    let live = served("live", at(0));
    let ended = {
        let mut ended = request("ended");
        ended.status.get_or_insert_default().phase = Some(Phase::Expired);
        ended
    };
    let ending = {
        let mut ending = ended.clone();
        ending.metadata.name = Some("ending".into());
        ending.metadata.finalizers = Some(vec![FINALIZER.into()]);
        ending
    };
    let waiting = request("waiting");
    let foreign = ListedUser {
        name: "keylease-operator".into(),
        ..user_of(&live, at(0))
    };
    let elsewhere = ListedUser {
        path: "/keylease/other/".into(),
        ..user_of(&request("lost"), at(0))
    };
    let users = vec![
        user_of(&live, at(0)),
        user_of(&ended, at(0)),
        user_of(&ending, at(0)),
        user_of(&waiting, at(0)),
        user_of(&request("lost"), at(0)),
        user_of(&request("lost"), at(51)),
        foreign,
        elsewhere,
    ];
    use Standing::{Claimed, Foreign, Orphan, Young};
    assert_eq!(
        standings(&picture(users, &[live, ended, ending, waiting])),
        [
            Claimed, Orphan, Claimed, Claimed, Orphan, Young, Foreign, Foreign
        ]
    );
}

#[test]
fn a_request_made_anew_under_the_same_name_does_not_account_for_the_old_user() {
    let old = request("app");
    let mut new = served("app", at(0));
    new.metadata.uid = Some("another".into());
    let picture = picture(vec![user_of(&old, at(0))], &[new]);
    assert_eq!(standings(&picture), [Standing::Orphan]);
}

#[test]
fn users_that_go_with_their_requests_during_the_sweep_are_no_orphans() {
    let (lost, leaving) = (
        user_of(&request("lost"), at(0)),
        user_of(&request("leaving"), at(0)),
    );
    let kept = served("kept", at(0));
    let kept_user = user_of(&kept, at(0));
    let users = vec![kept_user, lost.clone(), leaving];
    let mut picture = picture(users, &[kept]);
    assert!(picture.has_unclaimed());
    picture.keep_those_on(&[lost]);
    assert_eq!(standings(&picture), [Standing::Claimed, Standing::Orphan]);
}

fn guard(orphans: usize, users: usize, requests: usize) -> Guard {
    let count = Count {
        orphans,
        users,
        requests,
    };
    guard::judge(count, None, None, LIMITS.patience, at(0))
}

#[test]
fn a_few_orphans_are_believed_and_an_implausible_share_is_not() {
    for (orphans, users, requests) in [(0, 0, 0), (0, 9, 0), (10, 11, 1), (200, 1000, 800)] {
        assert_eq!(
            guard(orphans, users, requests),
            Guard::Plausible,
            "{orphans}"
        );
    }
    for (orphans, users, requests) in [(11, 12, 1), (201, 1000, 799), (1, 1, 0), (5, 5, 0)] {
        assert!(guard(orphans, users, requests).halts(), "{orphans}");
    }
}

#[test]
fn a_halt_ends_by_approval_or_patience_and_begins_anew_when_it_grows() {
    let judge = |orphans, before: Option<&SweepHalt>, approval, now| {
        let count = Count {
            orphans,
            users: 1000,
            requests: 500,
        };
        guard::judge(count, before, approval, LIMITS.patience, now)
    };
    let first = judge(500, None, None, at(0));
    let halt = first.halt().unwrap().clone();
    assert_eq!((halt.orphans, halt.since.0), (500, at(0)));
    let yes = Some(Approval::Halt(at(0)));
    // Not approved before it was seen, nor by the time of another halt.
    assert!(judge(500, None, yes, at(0)).halts());
    assert!(judge(500, Some(&halt), Some(Approval::Halt(at(1))), at(5)).halts());
    assert!(!judge(600, Some(&halt), yes, at(5)).halts());
    let day = 24 * 60;
    assert!(judge(500, Some(&halt), None, at(day - 1)).halts());
    assert!(!judge(500, Some(&halt), None, at(day)).halts());
    let grown = judge(800, Some(&halt), yes, at(day));
    assert!(grown.halts());
    assert_eq!(grown.halt().unwrap().since.0, at(day));
    assert!(!judge(500, None, Some(Approval::Count(500)), at(0)).halts());
    assert!(judge(501, None, Some(Approval::Count(500)), at(0)).halts());
    assert_eq!(judge(5, Some(&halt), None, at(5)), Guard::Plausible);
    // Begun by a clock that was ahead: patience counts from now on.
    let mended = judge(500, Some(&grown.halt().unwrap().clone()), None, at(5));
    assert_eq!(mended.halt().unwrap().since.0, at(5));
}

#[test]
fn the_status_shows_a_halt_until_its_users_are_gone() {
    let halt = guard(500, 1000, 500).halt().unwrap().clone();
    let read = ReportState::Read;
    let halted = of_sweep(&Guard::Halted(halt.clone()), &[], &read, "default");
    assert_eq!(halted.verdict.reason, Reason::SweepHalted);
    assert!(halted.verdict.message.contains("kubectl annotate"));
    let overruled = Guard::Overruled(halt.clone());
    let failed = of_sweep(&overruled, &["u: denied".into()], &read, "default");
    assert_eq!(
        (failed.halt, failed.verdict.reason),
        (Some(halt), Reason::SweepIncomplete)
    );
    let done = of_sweep(&overruled, &[], &read, "default");
    assert_eq!((done.halt, done.verdict.reason), (None, Reason::Swept));
    let denied = ReportState::Missing("AccessDenied".into());
    let without = of_sweep(&Guard::Plausible, &[], &denied, "default");
    assert_eq!(without.verdict.reason, Reason::SweptWithoutReport);
}

#[test]
fn the_report_and_the_list_cast_doubt_on_leases() {
    let yes = ("true", "2027-01-15T08:00:01+00:00"); // at(0) and a second
    let cases = [
        ("fine", fields("false", yes, "false"), None),
        (
            "none",
            fields("false", ("false", "N/A"), "false"),
            Some(SuspectKind::KeyMissing),
        ),
        (
            "two",
            fields("false", yes, "true"),
            Some(SuspectKind::KeyStray),
        ),
        (
            "other",
            fields("false", ("true", "2027-01-15T08:20:00+00:00"), "false"),
            Some(SuspectKind::KeyReplaced),
        ),
        (
            "password",
            fields("true", yes, "false"),
            Some(SuspectKind::Encumbered),
        ),
        (
            "unsaid",
            fields("not_supported", ("true", "no_information"), "false"),
            None,
        ),
    ];
    for (name, fields, expected) in cases {
        let request = served(name, at(0));
        let user = user_of(&request, at(0));
        let mut picture = picture(vec![user.clone()], &[request]);
        picture.report = Some(report(&[(&arn(&user.name), &fields)], at(30)));
        let kinds: Vec<_> = suspects::find(&picture).iter().map(|s| s.kind).collect();
        assert_eq!(kinds, Vec::from_iter(expected), "{name}");
        // When a lease of a clock that was ahead began is not known.
        let ahead = served(name, at(25 * 60));
        let mut told = self::picture(vec![user.clone()], &[ahead]);
        told.report = Some(report(&[(&arn(&user.name), &fields)], at(30)));
        let young = expected == Some(SuspectKind::KeyReplaced);
        let doubted = expected.filter(|_| !young).is_some();
        assert_eq!(!suspects::find(&told).is_empty(), doubted, "{name}");
        // A report from before the lease says nothing about it.
        picture.report = Some(report(&[(&arn(&user.name), &fields)], at(-1)));
        assert!(suspects::find(&picture).is_empty(), "{name}");
    }
}

#[test]
fn a_user_that_is_not_listed_is_doubted_if_it_was_there_before_the_list() {
    let missing = |request: AwsCredentialRequest| {
        let found = suspects::find(&picture(Vec::new(), &[request]));
        found.iter().any(|s| s.kind == SuspectKind::UserMissing)
    };
    assert!(missing(served("old", at(0))));
    assert!(!missing(served("new", at(60))));
    assert!(missing(served(
        "by a clock that was a day ahead",
        at(25 * 60)
    )));
    assert!(!missing(request("waiting")));
    let change = |change: fn(&mut Credential)| {
        let mut request = served("moved", at(0));
        let status = request.status.as_mut().unwrap();
        change(status.credential.as_mut().unwrap());
        request
    };
    assert!(!missing(change(|c| c.account_id = "999999999999".into())));
    assert!(!missing(change(
        |c| c.arn = Some("arn:aws:iam::123456789012:user/x/u".into())
    )));
    let mut rotating = served("rotating", at(0));
    rotating.status.as_mut().unwrap().phase = Some(Phase::Rotating);
    assert!(!missing(rotating));
}

fn account() -> AccountFacts {
    AccountFacts {
        name: "default".into(),
        account_id: "123456789012".into(),
        arn: "arn:aws:iam::123456789012:user/operator".into(),
        partition: "aws".into(),
        region: "us-east-1".into(),
        path: "/keylease/".into(),
        boundary: None,
        allow_role_boundary: false,
        tags: BTreeMap::new(),
        max_users: 0,
        requests_per_second: None,
        unreadable: Default::default(),
    }
}

#[test]
fn a_user_is_ours_only_if_its_name_follows_from_its_tags() {
    let lost = request("lost");
    let name = user_name_of(&lost, &cluster());
    let facts = |change: fn(&mut UserFacts)| {
        let mut facts = UserFacts {
            path: PATH.into(),
            boundary: None,
            tags: identity_tags(&lost, &cluster()),
        };
        change(&mut facts);
        orphan::stand_in(&name, &facts, &account(), &cluster())
    };
    let found = facts(|_| {}).unwrap();
    assert_eq!(found.uid_str(), "uid-of-lost");
    for bad in [
        facts(|f| drop(f.tags.remove("keylease.dev/uid"))),
        facts(|f| drop(f.tags.insert("keylease.dev/uid".into(), "another".into()))),
        facts(|f| drop(f.tags.insert("keylease.dev/cluster".into(), "other".into()))),
        facts(|f| f.tags.clear()),
        facts(|f| f.path = "/keylease/other/".into()),
    ] {
        assert!(bad.is_err(), "{bad:?}");
    }
    // From here on it goes as with any request that vanished.
    let view = orphan::view(found, &account(), &cluster(), at(0));
    assert_eq!(next(&view, at(0)), Step::Do(Effect::TakeInventory));
}
