//! The cluster's record of its identities: one entry a marker in a ConfigMap of
//! the operator's own namespace. Whoever copies the cluster copies it too.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::{FIELD_MANAGER, KubeCalls};
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::identity::Record;

/// Name of the ConfigMap.
pub const RECORDS: &str = "keylease-identity";
/// Writes that may meet another entry's before one is given up.
const ATTEMPTS: usize = 5;

/// Reads and writes records.
#[derive(Clone)]
pub struct Records {
    api: Api<ConfigMap>,
    calls: KubeCalls,
}

impl Records {
    /// Those in this namespace.
    pub fn new(client: Client, namespace: &str, calls: KubeCalls) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            calls,
        }
    }

    /// All of them, by the name of their marker.
    ///
    /// # Errors
    /// The classified fault.
    pub async fn all(&self) -> Result<BTreeMap<String, Record>, Fault> {
        let found = self.get().await?;
        let data = found.and_then(|map| map.data).unwrap_or_default();
        let records = data.into_iter();
        Ok(records
            .filter_map(|(name, text)| Some((name, Record::parse(&text)?)))
            .collect())
    }

    /// Writes one, or takes it away. Only over what is expected there, or over
    /// nothing: what somebody deleted is written again.
    ///
    /// # Errors
    /// The classified fault; `Stale` where another record is there.
    pub async fn write(
        &self,
        name: &str,
        expected: Option<&Record>,
        new: Option<&Record>,
    ) -> Result<(), Fault> {
        let mut result = Ok(());
        for _ in 0..ATTEMPTS {
            result = self.write_once(name, expected, new).await;
            let other_entry = matches!(&result, Err(fault) if matches!(
                fault.class, FaultClass::AlreadyExists | FaultClass::Stale
            ) && fault.message != CHANGED);
            if !other_entry {
                return result;
            }
        }
        result
    }

    async fn get(&self) -> Result<Option<ConfigMap>, Fault> {
        let call = self.api.get_opt(RECORDS);
        self.calls.make("get_identity", call).await
    }

    async fn write_once(
        &self,
        name: &str,
        expected: Option<&Record>,
        new: Option<&Record>,
    ) -> Result<(), Fault> {
        let found = self.get().await?;
        let exists = found.is_some();
        let mut map = found.unwrap_or_else(|| ConfigMap {
            metadata: ObjectMeta {
                name: Some(RECORDS.to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        });
        let data = map.data.get_or_insert_default();
        let there = data.get(name).map(|text| Record::parse(text));
        if there.is_some_and(|there| there.as_ref() != expected) {
            return Err(Fault {
                class: FaultClass::Stale,
                message: CHANGED.to_owned(),
            });
        }
        match new {
            Some(record) => data.insert(name.to_owned(), record.to_json()),
            None => data.remove(name),
        };
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        if exists {
            let call = self.api.replace(RECORDS, &params, &map);
            self.calls.make("write_identity", call).await.map(drop)
        } else {
            let call = self.api.create(&params, &map);
            self.calls.make("write_identity", call).await.map(drop)
        }
    }
}

/// Told where the very record is another one than expected.
const CHANGED: &str = "the record of this cluster's identity was changed by another process";
