//! The credential report of the simulated IAM, as AWS writes it.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

use super::iam::{Iam, User, key_id};
use crate::plan::effect::Attachment;
use crate::plan::sweep::report::CredentialReport;

/// How old a report is before AWS makes another. AWS lets it be four hours;
/// here it has to be younger than the shortest lease that rotates, because one
/// from before the present key says nothing about it.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(4);

/// The columns that are read.
const HEAD: &str = "arn,password_enabled,mfa_active,access_key_1_active,\
    access_key_1_last_rotated,access_key_2_active,access_key_2_last_rotated,\
    cert_1_active,cert_2_active\n";

impl Iam {
    /// The report: of now, or of a while ago.
    pub fn report(&mut self, now: Timestamp) -> Option<CredentialReport> {
        let old = |report: &CredentialReport| now.duration_since(report.generated) > MAX_AGE;
        if self.last_report.as_ref().is_none_or(old) {
            let mut csv = HEAD.to_owned();
            for (name, user) in &self.users {
                row(&mut csv, name, user);
            }
            self.last_report = CredentialReport::read(csv.as_bytes(), now).ok();
        }
        self.last_report.clone()
    }
}

fn row(csv: &mut String, name: &str, user: &User) {
    let keys = user.on_it.iter().filter(|(what, _)| key_id(what).is_some());
    let mut keys = keys.map(|(_, made)| format!("true,{made}"));
    let mut key = || keys.next().unwrap_or_else(|| "false,N/A".to_owned());
    let password = user.on_it.contains_key(&Attachment::LoginProfile);
    let path = &user.facts.path;
    // What is written to a string is written.
    let _ = writeln!(
        csv,
        "arn:aws:iam::123456789012:user{path}{name},{password},false,{},{},false,false",
        key(),
        key()
    );
}
