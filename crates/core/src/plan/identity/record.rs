//! What the cluster remembers of its identity in one AWS account.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Epochs that a record remembers. One is in AWS; the others were announced
/// and may have got there.
const REMEMBERED: usize = 8;

/// One step in the life of an identity: `<incarnation>/<number>/<nonce>`.
///
/// The nonce makes two steps that two clusters took from the same place
/// different; the number tells a person who is ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Epoch {
    /// Drawn when the identity began, or when a person decided who goes on.
    pub incarnation: String,
    /// How many steps it has taken.
    pub number: u64,
    /// Drawn for this step.
    pub nonce: String,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.incarnation, self.number, self.nonce)
    }
}

impl FromStr for Epoch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(incarnation), Some(number), Some(nonce), None)
                if !incarnation.is_empty() && !nonce.is_empty() =>
            {
                Ok(Self {
                    incarnation: incarnation.to_owned(),
                    number: number.parse().map_err(|_| "its number is none")?,
                    nonce: nonce.to_owned(),
                })
            }
            _ => Err("an epoch has three parts"),
        }
    }
}

impl TryFrom<String> for Epoch {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Epoch> for String {
    fn from(epoch: Epoch) -> Self {
        epoch.to_string()
    }
}

/// The record of one AWS account, kept in the cluster: a copy of the cluster
/// has a copy of it.
///
/// Whatever is written to AWS is announced here first, so that the cluster
/// knows its own hand again, whoever died in between.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What AWS may hold of ours, oldest first.
    #[serde(default)]
    pub epochs: Vec<Epoch>,
    /// The last knock of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knock: Option<String>,
    /// The newest epoch was written by a leader that had stopped.
    #[serde(default)]
    pub released: bool,
    /// When the newest epoch was announced.
    #[serde(default)]
    pub written: Timestamp,
    /// Nothing is changed in AWS until a person decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// Why this cluster stopped, and what a person confirms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// What the person's word has to name, so that it is not taken for another
    /// time or for another cluster.
    pub code: String,
    /// Since when.
    pub since: Timestamp,
    /// What was found in AWS.
    pub why: Why,
}

/// What was found in AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// The marker has an epoch that this cluster did not write.
    Ahead(String),
    /// Another cluster started at the same time.
    Rival,
}

impl Record {
    /// The record as it is kept; text that is none counts as no record.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The record as it is kept.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The newest epoch that was announced.
    pub fn newest(&self) -> Option<&Epoch> {
        self.epochs.last()
    }

    /// Whether this cluster wrote that epoch, or announced that it would.
    pub fn knows(&self, epoch: Option<&Epoch>) -> bool {
        epoch.is_some_and(|epoch| self.epochs.contains(epoch))
    }

    /// The record with one more epoch. What is older than the one that AWS was
    /// seen to hold is forgotten, and so are those that certainly never got
    /// there.
    pub(super) fn with(
        &self,
        epoch: Epoch,
        held: Option<&Epoch>,
        unborn: &[Epoch],
        now: Timestamp,
    ) -> Self {
        let from = held.and_then(|held| self.epochs.iter().position(|e| e == held));
        let mut epochs = self.epochs[from.unwrap_or(0)..].to_vec();
        epochs.retain(|epoch| !unborn.contains(epoch));
        if epochs.len() >= REMEMBERED {
            epochs.remove(1);
        }
        epochs.push(epoch);
        Self {
            epochs,
            released: false,
            written: now,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_read_as_it_is_written() {
        let epoch: Epoch = "1f/812/ab".parse().unwrap();
        assert_eq!(epoch.number, 812);
        assert_eq!(epoch.to_string(), "1f/812/ab");
        for wrong in ["", "1f/812", "1f/x/ab", "1f/1/ab/cd", "/1/ab", "1f/1/"] {
            assert!(wrong.parse::<Epoch>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_is_written_and_nonsense_is_none() {
        let record = Record {
            epochs: vec!["1f/812/ab".parse().unwrap()],
            knock: Some("k".into()),
            stopped: Some(Stopped {
                code: "c".into(),
                since: Timestamp::UNIX_EPOCH,
                why: Why::Ahead("1f/900/cd".into()),
            }),
            ..Record::default()
        };
        assert_eq!(Record::parse(&record.to_json()), Some(record));
        assert_eq!(Record::parse("{\"epochs\": [\"x\"]}"), None);
        assert_eq!(Record::parse(""), None);
    }
}
