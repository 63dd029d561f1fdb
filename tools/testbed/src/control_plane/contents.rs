//! Taking all that is stored back to an earlier state while the servers run, so
//! that the next test finds nothing of the one before: without a start of
//! theirs, and without a list of kinds that somebody has to keep complete.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{ControlPlane, check_running};
use crate::{http, wait};

/// All objects are below this.
const ROOT: &str = "/registry/";
/// The first key after all of them.
const END: &str = "/registry0";

/// What the servers write about themselves, all the time and whatever tests do.
const THEIR_OWN: &[&str] = &[
    "/registry/apiregistration.k8s.io/apiservices/",
    "/registry/flowschemas/",
    "/registry/leases/kube-system/",
    "/registry/masterleases/",
    "/registry/peerserverleases/",
    "/registry/prioritylevelconfigurations/",
    "/registry/servicecidrs/",
];

/// etcd's limit of operations in one transaction is 128.
const AT_ONCE: usize = 100;

/// A controller that was at work on something may write once more.
const CALM: Duration = Duration::from_secs(60);

/// All objects of a control plane as they are stored, but for what the servers
/// keep about themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    // The values as etcd's JSON has them: in base64.
    values: BTreeMap<String, String>,
}

impl Contents {
    /// Whether something is stored under this key, such as
    /// `/registry/namespaces/default`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// What follows this prefix in the keys that have it.
    fn names_below(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let keys = self.values.keys();
        keys.filter_map(move |key| key.strip_prefix(prefix))
    }

    /// The keys that differ from those in `other`: what is missing there, there
    /// in vain, or another.
    #[must_use]
    pub fn differences<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let here = self.values.iter();
        let changed = here.filter(|(key, value)| other.values.get(*key) != Some(value));
        let added = other
            .values
            .keys()
            .filter(|k| !self.values.contains_key(*k));
        let all = changed.map(|(key, _)| key).chain(added);
        all.map(String::as_str).collect()
    }
}

impl ControlPlane {
    /// All that is stored now.
    ///
    /// # Errors
    /// When etcd does not answer.
    pub async fn contents(&self) -> Result<Contents> {
        let all = json!({"key": BASE64.encode(ROOT), "range_end": BASE64.encode(END)});
        let mut answer = self.ask_etcd("/v3/kv/range", &all).await?;
        let found = answer["kvs"].as_array_mut().map(std::mem::take);
        let mut values = BTreeMap::new();
        for mut pair in found.unwrap_or_default() {
            let key = pair["key"].as_str().context("a pair without a key")?;
            let key = String::from_utf8(BASE64.decode(key)?)?;
            let value = match pair["value"].take() {
                Value::String(value) => value,
                other => anyhow::bail!("{key} has the value {other}"),
            };
            if !THEIR_OWN.iter().any(|own| key.starts_with(own)) {
                values.insert(key, value);
            }
        }
        Ok(Contents { values })
    }

    /// The same, as soon as the controllers have done what they do at the start
    /// and for each namespace: nobody but tests changes it from then on.
    ///
    /// # Errors
    /// When that does not come.
    pub async fn settled_contents(&self) -> Result<Contents> {
        wait::until_ok("what controllers make", CALM, || async {
            let rules = "jsonpath={range .items[*]}{.rules[0].verbs[0]} {end}";
            let aggregated = ["get", "clusterroles", "admin", "edit", "view", "-o", rules];
            let rules = self.kubectl(&aggregated).await?;
            ensure!(
                rules.split_whitespace().count() == 3,
                "no rules yet: {rules}"
            );
            let found = self.contents().await?;
            for namespace in found.names_below("/registry/namespaces/") {
                for made in [
                    format!("/registry/serviceaccounts/{namespace}/default"),
                    format!("/registry/configmaps/{namespace}/kube-root-ca.crt"),
                ] {
                    ensure!(found.has(&made), "{made} is missing");
                }
            }
            Ok(found)
        })
        .await
    }

    /// Puts all objects back as they were: what was made since is gone, whatever
    /// its finalizers say, and what was changed or deleted is there again. The
    /// API server and its clients see it as changes like any other. Answers the
    /// keys that it had to write: what the servers derive from these follows a
    /// moment later.
    ///
    /// Waits until nothing differs any more: a controller may still be at work
    /// on what was there a moment ago. What acts on objects must have ended.
    ///
    /// # Errors
    /// When a server does not answer, or somebody goes on writing; the message
    /// names what.
    pub async fn put_back(&self, wanted: &Contents) -> Result<BTreeSet<String>> {
        let written = Mutex::default();
        let alive = || {
            check_running(&self.etcd)?;
            check_running(&self.apiserver)
        };
        wait::until_ok_while("nothing to differ", CALM, alive, || async {
            let found = self.contents().await?;
            let differences = found.differences(wanted);
            if differences.is_empty() {
                return Ok(());
            }
            for some in differences.chunks(AT_ONCE) {
                self.write(wanted, some).await?;
            }
            let names = differences.iter().map(|key| (*key).to_owned());
            BTreeSet::extend(&mut written.lock(), names);
            anyhow::bail!("{differences:?}")
        })
        .await?;
        Ok(written.into_inner())
    }

    /// Puts these keys to what is wanted of them.
    async fn write(&self, wanted: &Contents, keys: &[&str]) -> Result<()> {
        let operation = |key: &&str| {
            let name = BASE64.encode(key);
            match wanted.values.get(*key) {
                Some(value) => json!({"requestPut": {"key": name, "value": value}}),
                None => json!({"requestDeleteRange": {"key": name}}),
            }
        };
        let all: Vec<_> = keys.iter().map(operation).collect();
        self.ask_etcd("/v3/kv/txn", &json!({"success": all}))
            .await?;
        Ok(())
    }

    async fn ask_etcd(&self, path: &str, question: &Value) -> Result<Value> {
        let addr = format!("127.0.0.1:{}", self.ports.etcd);
        let answer = http::post(&addr, path, &question.to_string()).await?;
        let status = answer.status;
        ensure!(status == 200, "etcd: {status} {}", answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(pairs: &[(&str, &str)]) -> Contents {
        let pairs = pairs.iter();
        let values = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Contents {
            values: values.collect(),
        }
    }

    #[test]
    fn what_was_made_changed_or_deleted_differs() {
        let before = contents(&[("/a/deleted", "1"), ("/b/same", "1"), ("/c/changed", "1")]);
        let after = contents(&[("/b/same", "1"), ("/c/changed", "2"), ("/d/made", "1")]);
        let mut differences = after.differences(&before);
        differences.sort_unstable();
        assert_eq!(differences, ["/a/deleted", "/c/changed", "/d/made"]);
        assert!(after.has("/d/made") && !after.has("/a/deleted"));
        assert_eq!(after.names_below("/d/").collect::<Vec<_>>(), ["made"]);
    }
}
