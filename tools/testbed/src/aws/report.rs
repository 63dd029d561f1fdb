//! The credential report: a CSV of all users, as AWS writes it.

use std::fmt::Write;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::dispatch::{Answer, Ctx};
use super::error::AwsError;
use super::extras::Kind;
use super::state::{State, User};
use super::users::date;
use super::xml::Xml;

/// AWS's columns (IAM User Guide, "Understanding the report format").
const HEAD: &str = "user,arn,user_creation_time,password_enabled,password_last_used,\
    password_last_changed,password_next_rotation,mfa_active,access_key_1_active,\
    access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,\
    access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
    access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,\
    cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated,\
    additional_credentials_info";

/// The last report that was made.
pub(super) struct Report {
    made: Instant,
    generated: Timestamp,
    csv: String,
}

/// `GenerateCredentialReport`: starts a new report, unless the last one is
/// young enough.
pub(super) fn generate(ctx: &mut Ctx<'_>) -> Answer {
    let max_age = ctx.config.report_max_age;
    let young = |report: &Report| ctx.now.saturating_duration_since(report.made) <= max_age;
    let state = if ctx.state.report.as_ref().is_some_and(young) {
        "COMPLETE"
    } else {
        ctx.state.report = Some(Report {
            made: ctx.now,
            generated: ctx.wall,
            csv: write(ctx.state),
        });
        // One that is out of date at once would never be fetched.
        if max_age.is_zero() {
            "COMPLETE"
        } else {
            "STARTED"
        }
    };
    Ok(Some(Xml::new().leaf("State", state)))
}

/// `GetCredentialReport`: the last one.
pub(super) fn get(ctx: &mut Ctx<'_>) -> Answer {
    let Some(report) = &ctx.state.report else {
        let message = "No report is present; call GenerateCredentialReport.";
        return Err(AwsError::new(410, "ReportNotPresent", message));
    };
    let xml = Xml::new()
        .leaf("Content", &STANDARD.encode(&report.csv))
        .leaf("ReportFormat", "text/csv")
        .leaf("GeneratedTime", &date(report.generated));
    Ok(Some(xml))
}

fn write(state: &State) -> String {
    let mut csv = format!(
        "{HEAD}\n<root_account>,arn:aws:iam::{}:root,",
        state.account
    );
    csv.push_str(
        "2020-01-01T00:00:00+00:00,not_supported,no_information,not_supported,not_supported,\
         true,false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A,",
    );
    for user in state.users.values() {
        csv.push('\n');
        csv.push_str(&line(state, user));
    }
    csv
}

fn line(state: &State, user: &User) -> String {
    let mut line = format!(
        "{},{},{}",
        quoted(&user.name),
        quoted(&user.arn),
        when(user.created)
    );
    let password = match user.login_profile {
        Some(set) => format!("true,no_information,{},N/A", when(set)),
        None => "false,N/A,N/A,N/A".to_owned(),
    };
    // Writing to a String cannot fail.
    let _ = write!(line, ",{password},{}", user.has(Kind::Mfa));
    // AWS has room for two keys, and so has its report.
    for slot in 0..2 {
        match user.keys.get(slot).and_then(|id| state.keys.get(id)) {
            Some(key) => {
                let used = match &key.last_used {
                    Some((at, region, service)) => format!("{},{region},{service}", when(*at)),
                    None => "N/A,N/A,N/A".to_owned(),
                };
                let _ = write!(
                    line,
                    ",{},{},{used}",
                    key.ended.is_none(),
                    when(key.created)
                );
            }
            None => line.push_str(",false,N/A,N/A,N/A,N/A"),
        }
    }
    let certificate = if user.has(Kind::Certificate) {
        when(user.created)
    } else {
        "N/A".to_owned()
    };
    let _ = write!(
        line,
        ",{},{certificate},false,N/A,",
        user.has(Kind::Certificate)
    );
    line
}

/// A time as the report has it: with an offset, where IAM's answers have a Z.
fn when(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// A field that may hold a comma, as names of users may.
fn quoted(text: &str) -> String {
    if text.contains([',', '"']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
