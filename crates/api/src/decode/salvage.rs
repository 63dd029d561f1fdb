//! Piece by piece.

use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::Defects;

/// Pieces that are taken out one by one. An object with more is cut down by
/// whole sections, so that nobody makes the operator decode one for minutes.
const PIECES: usize = 64;

/// A kind whose objects can be decoded in part.
pub trait Salvage: Resource<DynamicType = ()> + DeserializeOwned {
    /// Puts in what the kind cannot be decoded without, where it is missing.
    fn mend(_: &mut Value) {}

    /// Notes on the object what could not be read.
    fn note(&mut self, _: Defects) {}
}

/// Decodes what can be read of a JSON object.
///
/// # Errors
/// What is wrong first, if it is no object with a name and a uid: then it is not
/// an answer about an object at all.
pub(super) fn salvage<K: Salvage>(mut value: Value) -> Result<K, String> {
    if let Ok(object) = K::deserialize(&value) {
        return Ok(object);
    }
    let first = match serde_path_to_error::deserialize::<_, K>(&value) {
        Ok(object) => return Ok(object),
        Err(error) => error,
    };
    let identity = |key: &str| value["metadata"][key].is_string();
    if !identity("name") || !identity("uid") {
        return Err(first.to_string());
    }
    let mut defects = Defects::default();
    // What is missing is put in before the first try, and is to be told as well.
    defects.add(&first.path().to_string(), &first.inner().to_string());
    let object = piece_by_piece(&mut value, &mut defects)
        .or_else(|| {
            // What its owner may write goes first, what we wrote ourselves last.
            take(&mut value, &["spec"], &mut defects);
            take(&mut value, &["metadata", "managedFields"], &mut defects);
            piece_by_piece(&mut value, &mut defects)
        })
        .or_else(|| {
            take(&mut value, &["status"], &mut defects);
            piece_by_piece(&mut value, &mut defects)
        });
    let mut object: K = object.ok_or_else(|| first.to_string())?;
    object.note(defects);
    Ok(object)
}

fn piece_by_piece<K: Salvage>(value: &mut Value, defects: &mut Defects) -> Option<K> {
    for _ in 0..PIECES {
        K::mend(value);
        let error = match serde_path_to_error::deserialize::<_, K>(&*value) {
            Ok(object) => return Some(object),
            Err(error) => error,
        };
        defects.add(&error.path().to_string(), &error.inner().to_string());
        if !take_out(value, error.path()) {
            return None;
        }
    }
    None
}

/// Takes a whole section out.
fn take(value: &mut Value, path: &[&str], defects: &mut Defects) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let parent = parents.iter().try_fold(value, |at, key| at.get_mut(key));
    let taken = parent.and_then(|p| p.as_object_mut()?.remove(*last));
    if taken.is_some() {
        defects.add(&path.join("."), "too much of it cannot be read");
    }
}

/// Takes out what stands at that path, or the last thing on the way there;
/// whether anything was. The whole object is nothing that could be taken out.
fn take_out(value: &mut Value, path: &Path) -> bool {
    let mut at = value;
    let mut segments = path.iter().peekable();
    while let Some(segment) = segments.next() {
        let next = segments.peek();
        let deeper = next.and_then(|next| child(child(at, segment)?, next));
        if deeper.is_none() {
            return remove(at, segment);
        }
        match child_mut(at, segment) {
            Some(child) => at = child,
            None => return false,
        }
    }
    false
}

fn child<'a>(value: &'a Value, segment: &Segment) -> Option<&'a Value> {
    match segment {
        Segment::Seq { index } => value.as_array()?.get(*index),
        Segment::Map { key } => value.as_object()?.get(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn child_mut<'a>(value: &'a mut Value, segment: &Segment) -> Option<&'a mut Value> {
    match segment {
        Segment::Seq { index } => value.as_array_mut()?.get_mut(*index),
        Segment::Map { key } => value.as_object_mut()?.get_mut(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn remove(value: &mut Value, segment: &Segment) -> bool {
    match (value, segment) {
        (Value::Array(items), Segment::Seq { index }) if *index < items.len() => {
            items.remove(*index);
            true
        }
        (Value::Object(map), Segment::Map { key }) => map.remove(key).is_some(),
        _ => false,
    }
}
