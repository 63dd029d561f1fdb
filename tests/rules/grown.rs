//! Objects that grow from the schemas, and are judged in this process.

use kube::core::cel::{Validator, compile_schema};
use serde_json::{Value, json};

use crate::common_rules::Kind;
use crate::common_rules::grown::{Garden, schema, unreadable};

/// Objects of each kind.
const OBJECTS: u64 = 1_500;

/// Whether the plain schema takes a value: types, bounds and lengths, as the API
/// server checks them. Nulls are taken off before.
fn fits(schema: &Value, value: &Value) -> bool {
    let size = |key: &str| schema[key].as_u64().and_then(|n| usize::try_from(n).ok());
    let within = |n: usize, least: &str, most: &str| {
        size(least).is_none_or(|l| n >= l) && size(most).is_none_or(|m| n <= m)
    };
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return false;
    }
    match (schema["type"].as_str(), value) {
        (Some("string"), Value::String(text)) => {
            within(text.chars().count(), "minLength", "maxLength")
        }
        (Some("boolean"), Value::Bool(_)) => true,
        (Some("integer"), Value::Number(n)) => {
            let whole = n.as_i64().or_else(|| {
                let float = n.as_f64().filter(|f| f.fract() == 0.0)?;
                serde_json::from_str(&format!("{float:.0}")).ok()
            });
            let fits_format = |n: i64| schema["format"] != "int32" || i32::try_from(n).is_ok();
            let least = schema["minimum"].as_f64().unwrap_or(f64::MIN);
            let most = schema["maximum"].as_f64().unwrap_or(f64::MAX);
            let bounded = n.as_f64().is_some_and(|n| (least..=most).contains(&n));
            whole.is_some_and(fits_format) && bounded
        }
        (Some("array"), Value::Array(items)) => {
            within(items.len(), "minItems", "maxItems")
                && items.iter().all(|item| fits(&schema["items"], item))
        }
        (Some("object"), Value::Object(map)) => {
            let required = schema["required"].as_array().into_iter().flatten();
            let mut required = required.filter_map(Value::as_str);
            let named = |key: &str| {
                let inner = &schema["properties"][key];
                if inner.is_object() {
                    inner
                } else {
                    &schema["additionalProperties"]
                }
            };
            required.all(|key| map.contains_key(key))
                && within(map.len(), "minProperties", "maxProperties")
                && map.iter().all(|(key, value)| {
                    let inner = named(key);
                    !inner.is_object() || fits(inner, value)
                })
        }
        _ => false,
    }
}

/// Does what the API server does before it stores: nulls of fields that may not be
/// null are taken off, and whole numbers are written without a point.
fn stored(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(stored);
        }
        Value::Array(items) => items.iter_mut().for_each(stored),
        Value::Number(n) if n.is_f64() => {
            let whole = n.as_f64().filter(|f| f.fract() == 0.0);
            if let Some(whole) = whole.and_then(|f| serde_json::from_str(&format!("{f:.0}")).ok()) {
                *value = whole;
            }
        }
        _ => {}
    }
}

/// Whatever schema and rules let in can be read as a whole.
#[test]
fn what_the_schema_takes_can_be_read() {
    for kind in [Kind::Account, Kind::Role, Kind::Request] {
        let (garden, schema) = (Garden::of(kind), schema(kind));
        let (rules, validator) = (compile_schema(&schema), Validator::new());
        let mut taken = 0;
        for seed in 0..OBJECTS {
            let mut object = garden.object(seed, "a");
            stored(&mut object);
            object["metadata"]["uid"] = json!("u");
            let ok = fits(&schema["properties"]["spec"], &object["spec"])
                && validator.validate_compiled(&rules, &object, None).is_ok();
            if ok {
                taken += 1;
                let read = unreadable(kind, object.clone());
                assert_eq!(read, Ok(None), "seed {seed}: {object}");
            }
        }
        assert!(
            taken > OBJECTS / 20,
            "only {taken} objects of {kind:?} were taken"
        );
    }
}

/// Whatever it is, one object never fails the list that it is in.
#[test]
fn nothing_that_grows_fails_to_decode() {
    for kind in [Kind::Account, Kind::Role, Kind::Request] {
        let garden = Garden::of(kind);
        for seed in 0..OBJECTS {
            let mut object = garden.object(seed, "a");
            object["metadata"]["uid"] = json!("u");
            object["status"] = garden.status(seed);
            let read = unreadable(kind, object.clone());
            assert!(read.is_ok(), "seed {seed}: {read:?}: {object}");
        }
    }
}
