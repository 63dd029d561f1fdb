//! IAM's credential report: all users of an account with their passwords, keys,
//! MFA devices and certificates, in one document, whatever their number. AWS
//! makes a new one every four hours at most (IAM User Guide, "Generate
//! credential reports"), so it tells where to look and nothing more.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;

/// The report, as far as we read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialReport {
    /// When AWS made it.
    pub generated: Timestamp,
    /// Its rows by ARN.
    rows: HashMap<String, ReportRow>,
}

/// What it says of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportRow {
    /// When each active key was made; `None` where AWS does not say.
    pub active_keys: Vec<Option<Timestamp>>,
    /// Whether there is anything else that lets somebody in: a password, an MFA
    /// device, a signing certificate.
    pub encumbered: bool,
}

/// The columns that we read. AWS adds others now and then.
#[derive(Deserialize)]
struct Columns {
    arn: String,
    password_enabled: String,
    mfa_active: String,
    access_key_1_active: String,
    access_key_1_last_rotated: String,
    access_key_2_active: String,
    access_key_2_last_rotated: String,
    cert_1_active: String,
    cert_2_active: String,
}

/// A report that is not what AWS documents.
#[derive(thiserror::Error, Debug)]
#[error("the credential report cannot be read: {0}")]
pub struct BadReport(#[from] csv::Error);

impl CredentialReport {
    /// Reads a report: CSV with a head line.
    ///
    /// # Errors
    /// [`BadReport`] when a column is missing or a line is not CSV.
    pub fn read(csv: &[u8], generated: Timestamp) -> Result<Self, BadReport> {
        let mut rows = HashMap::new();
        for line in csv::Reader::from_reader(csv).deserialize() {
            let columns: Columns = line?;
            let (arn, row) = columns.into_row();
            rows.insert(arn, row);
        }
        Ok(Self { generated, rows })
    }

    /// The row of a user by its ARN.
    pub fn row(&self, arn: &str) -> Option<&ReportRow> {
        self.rows.get(arn)
    }
}

impl Columns {
    fn into_row(self) -> (String, ReportRow) {
        // "N/A", "not_supported" and "no_information" are no yes.
        let yes = |text: &str| text == "true";
        let keys = [
            (&self.access_key_1_active, &self.access_key_1_last_rotated),
            (&self.access_key_2_active, &self.access_key_2_last_rotated),
        ];
        let active = keys.into_iter().filter(|(active, _)| yes(active));
        let others = [
            &self.password_enabled,
            &self.mfa_active,
            &self.cert_1_active,
            &self.cert_2_active,
        ];
        let row = ReportRow {
            active_keys: active.map(|(_, made)| made.parse().ok()).collect(),
            encumbered: others.into_iter().any(|text| yes(text)),
        };
        (self.arn, row)
    }
}
