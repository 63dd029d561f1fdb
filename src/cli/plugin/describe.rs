//! `kubectl keylease describe`: everything about one request.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;

use super::client::{Session, Target};
use super::error::{Call, Failure};
use super::paint::{self, Paint, Tint, one_line, phase_tint, phase_word};
use super::table::{Cell, Table};
use super::{wait, when};
use keylease_api::{AwsCredentialRequest, Condition, Credential, Lease};

/// Show lease, credential, conditions and events of one request.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The request.
    name: String,
}

pub(super) async fn run(args: Args, target: Target) -> Result<u8, Failure> {
    let session = target.session().await?;
    let request = session.request(&args.name).await?;
    let events = events(&session, &request).await;
    let (now, paint) = (Timestamp::now(), Paint::stdout());
    let mut text = describe(&request, now, paint);
    text.push_str(&heading("Events", paint));
    text.push_str(&match events {
        Ok(events) => render_events(&events, now, paint),
        Err(failure) => format!("  (not shown: {})\n", failure.sentence),
    });
    paint::print(&text)?;
    Ok(0)
}

async fn events(session: &Session, request: &AwsCredentialRequest) -> Result<Vec<Event>, Failure> {
    let api: Api<Event> = session.namespaced();
    let params = ListParams::default().fields(&format!("involvedObject.uid={}", request.uid_str()));
    let call = Call {
        verb: "list",
        resource: "events",
        namespace: Some(&session.namespace),
        name: "",
    };
    let mut events = api.list(&params).await.map_err(|e| call.failed(&e))?.items;
    events.sort_by_key(last_seen);
    Ok(events)
}

/// When an event was last seen: each of the event APIs says it elsewhere.
fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|s| s.last_observed_time.as_ref());
    series
        .map(|t| t.0)
        .or(event.last_timestamp.as_ref().map(|t| t.0))
        .or(event.event_time.as_ref().map(|t| t.0))
        .or(event.metadata.creation_timestamp.as_ref().map(|t| t.0))
}

fn describe(request: &AwsCredentialRequest, now: Timestamp, paint: Paint) -> String {
    let status = request.status.clone().unwrap_or_default();
    let phase = wait::phase(request);
    let deleted = request.metadata.deletion_timestamp.as_ref();
    let mut text = lines(
        "",
        &[
            ("Name", request.metadata.name.clone()),
            ("Namespace", Some(request.namespace_name().to_owned())),
            ("Role", Some(request.spec.role_ref.name.clone())),
            (
                "Phase",
                Some(paint.tint(phase_tint(phase), &phase_word(phase))),
            ),
            ("Secret", status.secret_name.clone()),
            (
                "Being deleted",
                deleted.map(|t| format!("since {}", when::at(t.0, now))),
            ),
            (
                "Failures",
                status.failures.filter(|n| *n > 0).map(|n| n.to_string()),
            ),
        ],
    );
    text.push_str(&heading("Lease", paint));
    text.push_str(&status.lease.map_or_else(none, |l| lease_lines(&l, now)));
    text.push_str(&heading("Credential", paint));
    text.push_str(
        &status
            .credential
            .map_or_else(none, |c| credential_lines(&c)),
    );
    if let Some(previous) = &status.previous {
        let until = when::at(previous.remove_at.0, now);
        let key = format!("{}, removed at {until}", previous.access_key_id);
        text.push_str(&lines("  ", &[("Previous key", Some(key))]));
    }
    text.push_str(&heading("Conditions", paint));
    text.push_str(&render_conditions(&status.conditions, now, paint));
    text
}

fn lease_lines(lease: &Lease, now: Timestamp) -> String {
    let renewals = format!(
        "{}{}",
        lease.renewals,
        if lease.renewable {
            ", renewable"
        } else {
            ", at its maximum"
        }
    );
    lines(
        "  ",
        &[
            ("Id", Some(lease.id.clone())),
            ("Issued", Some(when::at(lease.issued_at.0, now))),
            ("Ends", Some(when::at(lease.expires_at.0, now))),
            ("At most until", Some(when::at(lease.max_expires_at.0, now))),
            ("Length", Some(lease.duration.clone())),
            ("Renewals", Some(renewals)),
        ],
    )
}

fn credential_lines(credential: &Credential) -> String {
    lines(
        "  ",
        &[
            ("Type", Some(credential.type_.clone())),
            ("Account", Some(credential.account_id.clone())),
            ("Key id", Some(credential.access_key_id.clone())),
            ("User", credential.user_name.clone()),
            ("ARN", credential.arn.clone()),
        ],
    )
}

/// `Label:  value` for what has a value. The phase brings its colour along.
fn lines(indent: &str, all: &[(&str, Option<String>)]) -> String {
    let line = |(label, value): &(&str, Option<String>)| {
        let value = value.as_ref()?;
        let value = if *label == "Phase" {
            value.clone()
        } else {
            one_line(value)
        };
        Some(format!("{indent}{:15}{value}\n", format!("{label}:")))
    };
    all.iter().filter_map(line).collect()
}

fn heading(text: &str, paint: Paint) -> String {
    format!("\n{}\n", paint.tint(Tint::Bold, text))
}

fn none() -> String {
    "  none\n".to_owned()
}

fn render_conditions(conditions: &[Condition], now: Timestamp, paint: Paint) -> String {
    let mut table = Table::new(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
    for condition in conditions {
        let since = when::age(Some(condition.last_transition_time.0), now);
        table.row(vec![
            (&condition.type_).into(),
            (&condition.status).into(),
            (&condition.reason).into(),
            since.into(),
            (&condition.message).into(),
        ]);
    }
    if table.is_empty() {
        none()
    } else {
        table.render("  ", paint)
    }
}

fn render_events(events: &[Event], now: Timestamp, paint: Paint) -> String {
    let mut table = Table::new(&["LAST", "TYPE", "REASON", "COUNT", "MESSAGE"]);
    for event in events {
        let warning = event.type_.as_deref() == Some("Warning");
        let tint = if warning { Tint::Warn } else { Tint::Plain };
        let series = event.series.as_ref().and_then(|s| s.count);
        let count = series.or(event.count).unwrap_or(1).max(1);
        table.row(vec![
            when::age(last_seen(event), now).into(),
            Cell::tinted(event.type_.as_deref().unwrap_or_default(), tint),
            event.reason.as_deref().unwrap_or_default().into(),
            count.to_string().into(),
            event.message.as_deref().unwrap_or_default().into(),
        ]);
    }
    if table.is_empty() {
        none()
    } else {
        table.render("  ", paint)
    }
}
