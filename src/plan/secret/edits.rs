//! Whether somebody edited the data of a Secret of ours: told from
//! `managedFields`, where the API server notes who wrote which field. The data
//! itself is never read for it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};

use super::{ENTRIES, KEY_ID};
use crate::plan::naming::FIELD_MANAGER;

/// The id of the key that the Secret holds, by its annotation. `None` if that
/// is gone, or if the data was edited: what it holds then is nobody's key.
pub fn key_in(meta: &ObjectMeta) -> Option<String> {
    let id = meta.annotations.as_ref()?.get(KEY_ID)?;
    (!edited(meta)).then(|| id.clone())
}

/// Somebody else wrote an entry of the data, or took one of ours out.
fn edited(meta: &ObjectMeta) -> bool {
    let writers = meta.managed_fields.as_deref().unwrap_or_default();
    if writers.is_empty() {
        return false; // Nobody wrote down who wrote what.
    }
    let ours = |w: &&ManagedFieldsEntry| w.manager.as_deref() == Some(FIELD_MANAGER);
    let written: usize = writers.iter().filter(ours).map(entries).sum();
    let foreign: usize = writers.iter().filter(|w| !ours(w)).map(entries).sum();
    let noted = meta.annotations.as_ref().and_then(|a| a.get(ENTRIES));
    let noted = noted.and_then(|n| n.parse::<usize>().ok());
    foreign > 0 || noted.is_some_and(|noted| written < noted)
}

/// How many entries of the data a writer owns.
fn entries(writer: &ManagedFieldsEntry) -> usize {
    let fields = writer.fields_v1.as_ref();
    let data = fields.and_then(|f| f.0.get("f:data")?.as_object());
    data.map_or(0, |d| d.keys().filter(|k| k.starts_with("f:")).count())
}

/// When we wrote the Secret last.
pub fn written_at(meta: &ObjectMeta) -> Option<Timestamp> {
    let writers = meta.managed_fields.as_deref().unwrap_or_default();
    let ours = writers
        .iter()
        .filter(|w| w.manager.as_deref() == Some(FIELD_MANAGER));
    ours.filter_map(|w| w.time.as_ref().map(|t| t.0)).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn meta(managed: Value) -> ObjectMeta {
        let meta = json!({
            "annotations": {KEY_ID: "AKIA1", ENTRIES: "2"},
            "managedFields": managed,
        });
        serde_json::from_value(meta).unwrap()
    }

    fn wrote(manager: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": "Update", "time": "2027-01-15T08:00:00Z", "fieldsV1": fields})
    }

    #[test]
    fn an_edit_is_told_from_who_wrote_what() {
        let ours = wrote(
            FIELD_MANAGER,
            json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}),
        );
        let less = wrote(FIELD_MANAGER, json!({"f:data": {".": {}, "f:a": {}}}));
        let label = wrote(
            "kubectl-label",
            json!({"f:metadata": {"f:labels": {"f:x": {}}}}),
        );
        let data = wrote("kubectl-edit", json!({"f:data": {"f:b": {}}}));
        let key = Some("AKIA1".to_owned());
        assert_eq!(key_in(&meta(json!([ours]))), key);
        assert_eq!(key_in(&meta(json!([ours, label]))), key);
        assert_eq!(key_in(&meta(json!([less, data]))), None, "changed");
        assert_eq!(key_in(&meta(json!([ours, data]))), None, "added");
        assert_eq!(key_in(&meta(json!([less]))), None, "removed");
        assert_eq!(key_in(&meta(json!([]))), key, "not noted");
        let at = written_at(&meta(json!([ours, label]))).unwrap();
        assert_eq!(at.to_string(), "2027-01-15T08:00:00Z");
    }
}
