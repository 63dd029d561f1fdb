//! What others did to a Secret of ours: told from `managedFields`, where the API
//! server notes who wrote which field. The data itself is never read for it.
//!
//! The names of our entries are noted in an annotation when they are written. An
//! entry of ours is edited where it is not ours any more: the API server takes a
//! field from its writer when another changes or removes it. Entries that others
//! added are none of our business, apart from being told.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};

use super::{ENTRIES, KEY_ID};
use crate::plan::naming::FIELD_MANAGER;

/// In the name of this one the API server merges the oldest writers of an object
/// that has had more than ten. Whose an entry was cannot be told then, and it
/// counts as ours: a new key for each would be worse than an edit unseen.
const MERGED: &str = "ancient-changes";

/// Who wrote what of a Secret.
struct Writers<'a>(&'a [ManagedFieldsEntry]);

impl<'a> Writers<'a> {
    fn of(meta: &'a ObjectMeta) -> Self {
        Self(meta.managed_fields.as_deref().unwrap_or_default())
    }

    /// Names of the data's entries that these writers own.
    fn entries(&self, whose: impl Fn(&str) -> bool) -> BTreeSet<&'a str> {
        let written = self
            .0
            .iter()
            .filter(|w| whose(w.manager.as_deref().unwrap_or_default()));
        let data = written.filter_map(|w| w.fields_v1.as_ref()?.0.get("f:data")?.as_object());
        data.flat_map(|d| d.keys().filter_map(|k| k.strip_prefix("f:")))
            .collect()
    }

    fn ours(&self) -> BTreeSet<&'a str> {
        self.entries(|who| who == FIELD_MANAGER)
    }

    fn merged(&self) -> BTreeSet<&'a str> {
        self.entries(|who| who == MERGED)
    }

    fn others(&self) -> BTreeSet<&'a str> {
        self.entries(|who| who != FIELD_MANAGER && who != MERGED)
    }

    /// Whether anybody ever set `immutable`. We never do.
    fn set_immutable(&self) -> bool {
        let mut fields = self.0.iter().filter_map(|w| w.fields_v1.as_ref());
        fields.any(|f| f.0.get("f:immutable").is_some())
    }
}

/// The entries that we wrote, as the annotation notes them.
enum Noted {
    /// By name.
    Names(BTreeSet<String>),
    /// Their number alone, as releases before 0.2 wrote it.
    Number(usize),
    /// Not at all.
    Nothing,
}

impl Noted {
    fn of(meta: &ObjectMeta) -> Self {
        let text = meta.annotations.as_ref().and_then(|a| a.get(ENTRIES));
        let Some(text) = text else {
            return Self::Nothing;
        };
        match (serde_json::from_str(text), text.parse()) {
            (Ok(names), _) => Self::Names(names),
            (_, Ok(number)) => Self::Number(number),
            _ => Self::Nothing,
        }
    }
}

/// The annotation's text for entries of these names.
pub(super) fn note<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: BTreeSet<_> = names.collect();
    serde_json::json!(names).to_string()
}

/// The id of the key that the Secret holds, by its annotation. `None` if that
/// is gone, or if an entry of ours was edited: what it holds then is nobody's
/// key.
pub fn key_in(meta: &ObjectMeta) -> Option<String> {
    let id = meta.annotations.as_ref()?.get(KEY_ID)?;
    (!edited(meta)).then(|| id.clone())
}

/// Somebody else changed an entry of ours, or took one out.
fn edited(meta: &ObjectMeta) -> bool {
    let writers = Writers::of(meta);
    let (ours, merged, others) = (writers.ours(), writers.merged(), writers.others());
    match Noted::of(meta) {
        // Somebody took the notes of who wrote what away. Only what was written
        // since then tells.
        Noted::Names(names) if ours.is_empty() && merged.is_empty() => {
            names.iter().any(|name| others.contains(name.as_str()))
        }
        Noted::Names(names) => names.iter().any(|name| {
            let name = name.as_str();
            !ours.contains(name) && !merged.contains(name)
        }),
        Noted::Number(number) => !ours.is_empty() && merged.is_empty() && ours.len() < number,
        Noted::Nothing => !others.is_empty(),
    }
}

/// Whether all entries are on record as ours and nothing stands in the way of
/// writing them anew in place. A replacing write becomes the owner only of what
/// it changes, so a record with holes would keep them, and read as an edit.
pub(super) fn is_pristine(meta: &ObjectMeta) -> bool {
    let writers = Writers::of(meta);
    let ours = writers.ours();
    let complete = match Noted::of(meta) {
        Noted::Names(names) => names.iter().all(|name| ours.contains(name.as_str())),
        Noted::Number(number) => ours.len() >= number,
        Noted::Nothing => false,
    };
    complete && !writers.set_immutable()
}

/// Whether somebody made the Secret immutable, as far as its metadata tells.
pub(super) fn is_immutable(meta: &ObjectMeta) -> bool {
    Writers::of(meta).set_immutable()
}

/// What a person may want to know of a Secret that others wrote to, although it
/// is left so.
pub fn remark(meta: &ObjectMeta) -> Option<String> {
    let writers = Writers::of(meta);
    let others = writers.others();
    let foreign: Vec<_> = match Noted::of(meta) {
        Noted::Names(names) => others.into_iter().filter(|n| !names.contains(*n)).collect(),
        Noted::Number(_) | Noted::Nothing => {
            let ours = writers.ours();
            others.into_iter().filter(|n| !ours.contains(n)).collect()
        }
    };
    let added = (!foreign.is_empty()).then(|| {
        format!(
            "holds entries that the operator did not write ({}); they are left alone until it is \
             written anew",
            foreign.join(", ")
        )
    });
    let immutable = writers.set_immutable().then(|| {
        "was made immutable: a renewal cannot be written into it, and it is deleted and made \
         again when the next key comes"
            .to_owned()
    });
    let all: Vec<_> = [added, immutable].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; it "))
}

/// When the Secret was made. Nobody can write that, and one that was edited is
/// made again, so that it is also the time of the last restoring.
pub(super) fn made_at(meta: &ObjectMeta) -> Option<Timestamp> {
    meta.creation_timestamp.as_ref().map(|t| t.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn meta(noted: &str, managed: &[Value]) -> ObjectMeta {
        let meta = json!({
            "annotations": {KEY_ID: "AKIA1", ENTRIES: noted},
            "managedFields": managed,
        });
        serde_json::from_value(meta).unwrap()
    }

    fn wrote(manager: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": "Update", "time": "2027-01-15T08:00:00Z", "fieldsV1": fields})
    }

    /// A writer of these entries.
    fn data(manager: &str, names: &[&str]) -> Value {
        let names = names.iter().map(|n| (format!("f:{n}"), json!({})));
        let mut fields: serde_json::Map<_, _> = names.collect();
        fields.insert(".".into(), json!({}));
        wrote(manager, json!({"f:data": fields}))
    }

    const NAMES: &str = r#"["a","b"]"#;

    fn intact(noted: &str, managed: &[Value]) -> bool {
        key_in(&meta(noted, managed)).is_some()
    }

    #[test]
    fn an_edit_of_our_entries_is_told_from_who_wrote_what() {
        let ours = data(FIELD_MANAGER, &["a", "b"]);
        let less = data(FIELD_MANAGER, &["a"]);
        let label = wrote(
            "kubectl-label",
            json!({"f:metadata": {"f:labels": {"f:x": {}}}}),
        );
        // With the number alone, as the release before noted it, and with names.
        for noted in [NAMES, "2"] {
            assert!(intact(noted, std::slice::from_ref(&ours)));
            assert!(intact(noted, &[ours.clone(), label.clone()]), "a label");
            assert!(
                !intact(noted, &[less.clone(), data("x", &["b"])]),
                "changed"
            );
            assert!(!intact(noted, std::slice::from_ref(&less)), "removed");
            assert!(intact(noted, &[]), "not noted");
        }
    }

    #[test]
    fn an_entry_that_was_added_is_told_and_is_no_edit() {
        let ours = data(FIELD_MANAGER, &["a", "b"]);
        for noted in [NAMES, "2"] {
            let managed = [ours.clone(), data("argocd", &["b", "more"])];
            assert!(intact(noted, &managed));
            let told = remark(&meta(noted, &managed)).unwrap();
            assert!(told.contains("(more)"), "{told}");
        }
        assert_eq!(remark(&meta(NAMES, &[ours])), None);
    }

    #[test]
    fn merged_or_missing_notes_are_no_edit_by_themselves() {
        let merged = data(MERGED, &["a", "b"]);
        assert!(intact(NAMES, std::slice::from_ref(&merged)));
        assert!(intact("2", std::slice::from_ref(&merged)));
        // Ours again in part, by a renewal.
        let managed = [merged.clone(), data(FIELD_MANAGER, &["b"])];
        assert!(intact(NAMES, &managed) && intact("2", &managed));
        // Taken away, and written since.
        assert!(intact(NAMES, &[data("x", &["more"])]));
        assert!(!intact(NAMES, &[data("x", &["a"])]));
    }

    #[test]
    fn only_what_is_on_record_as_ours_is_written_in_place() {
        let ours = data(FIELD_MANAGER, &["a", "b"]);
        assert!(is_pristine(&meta(NAMES, std::slice::from_ref(&ours))));
        assert!(!is_pristine(&meta(NAMES, &[])));
        assert!(!is_pristine(&meta(NAMES, &[data(MERGED, &["a", "b"])])));
        let frozen = wrote("kubectl-patch", json!({"f:immutable": {}}));
        let frozen = meta(NAMES, &[ours, frozen]);
        assert!(!is_pristine(&frozen) && is_immutable(&frozen));
        assert!(key_in(&frozen).is_some());
        assert!(remark(&frozen).unwrap().contains("immutable"));
    }

    /// A Secret whose single entry is called like a number is not mistaken for
    /// an older release's.
    #[test]
    fn a_name_that_is_a_number_is_a_name() {
        let text = note([&"7".to_owned()].into_iter());
        assert!(intact(&text, &[data(FIELD_MANAGER, &["7"])]));
    }
}
