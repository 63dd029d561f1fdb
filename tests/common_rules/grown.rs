//! Objects that grow from the schemas: a valid object of the table in which some
//! values are replaced by others that their schema describes, or nearly. What
//! the API server takes of these has to decode.

use serde_json::{Map, Number, Value, json};

use super::{Kind, cases};
use keylease_api::crds;

/// Texts that are fine somewhere and odd elsewhere.
const TEXTS: [&str; 34] = [
    "",
    " ",
    "a",
    "dev",
    "dev/",
    "a..b",
    "Deployment",
    "Rotate",
    "Revoke",
    "Extend",
    "Ready",
    "True",
    "*",
    "1h",
    "15m",
    "0s",
    "-1h",
    "99999999999999999999h",
    "2026-11-23T10:00:00Z",
    "2026-11-23T10:00:00.123456789+05:30",
    "2026-11-23t10:00:00z",
    "2026-11-23T10:00:00+99:99",
    "2026-11-23T10:00:00x5Z",
    "2026-11-23T10:00:00ZT10:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2026-02-30T10:00:00Z",
    "123456789012",
    "us-east-1",
    "/keylease/",
    "team-a/",
    "arn:aws:iam::aws:policy/ReadOnlyAccess",
    "arn:aws:iam::123456789012:role/reader",
    "{\"Version\":\"2012-10-17\",\"Statement\":[]}",
];

/// What objects of one kind grow from.
pub struct Garden {
    kind: Kind,
    schema: Value,
    valid: Vec<Value>,
}

impl Garden {
    pub fn of(kind: Kind) -> Self {
        let valid = cases().into_iter().filter(|c| c.kind == kind);
        Self {
            kind,
            schema: schema(kind),
            valid: valid.map(|c| c.good).collect(),
        }
    }

    /// An object of that name; the same number gives the same one.
    pub fn object(&self, seed: u64, name: &str) -> Value {
        let mut plant = Plant(fastrand::Rng::with_seed(seed));
        let valid = &self.valid[plant.0.usize(..self.valid.len())];
        let mut object = self.kind.object(name, valid);
        for _ in 0..plant.0.usize(1..3) {
            plant.graft(&mut object["spec"], &self.schema["properties"]["spec"]);
        }
        object
    }

    /// A status.
    pub fn status(&self, seed: u64) -> Value {
        let mut plant = Plant(fastrand::Rng::with_seed(seed));
        plant.grow(&self.schema["properties"]["status"], 0)
    }
}

/// One value that grows.
struct Plant(fastrand::Rng);

impl Plant {
    /// Replaces something in the value by what its schema describes.
    fn graft(&mut self, value: &mut Value, schema: &Value) {
        let fields: Vec<_> = fields(schema);
        if fields.is_empty() || self.0.u8(..4) == 0 {
            *value = self.grow(schema, 0);
            return;
        }
        let (name, inner) = &fields[self.0.usize(..fields.len())];
        if let Some(inside) = value.get_mut(name) {
            self.graft(inside, inner);
        } else if value.is_object() {
            value[name] = self.grow(inner, 0);
        }
    }

    /// What a schema describes, and now and then something else.
    fn grow(&mut self, schema: &Value, depth: usize) -> Value {
        if self.0.u8(..40) == 0 {
            return self.odd();
        }
        if let Some(words) = schema["enum"].as_array() {
            return words[self.0.usize(..words.len())].clone();
        }
        match schema["type"].as_str() {
            Some("object") => self.grow_object(schema, depth),
            Some("array") => {
                let items = self.0.usize(..3);
                (0..items)
                    .map(|_| self.grow(&schema["items"], depth + 1))
                    .collect()
            }
            Some("string") => json!(TEXTS[self.0.usize(..TEXTS.len())]),
            Some("boolean") => json!(self.0.bool()),
            Some("integer" | "number") => self.number(),
            _ => json!({}),
        }
    }

    fn grow_object(&mut self, schema: &Value, depth: usize) -> Value {
        let required: Vec<_> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        let mut map = Map::new();
        for (name, inner) in fields(schema) {
            let wanted = required.iter().any(|r| **r == *name);
            if wanted || depth < 4 && self.0.bool() {
                map.insert(name, self.grow(&inner, depth + 1));
            }
        }
        let more = &schema["additionalProperties"];
        if more.is_object() {
            for _ in 0..self.0.usize(..3) {
                let key = TEXTS[self.0.usize(..TEXTS.len())].to_owned();
                map.insert(key, self.grow(more, depth + 1));
            }
        }
        Value::Object(map)
    }

    fn number(&mut self) -> Value {
        let whole = [
            0,
            1,
            -1,
            50,
            i64::from(i32::MAX),
            i64::from(i32::MIN),
            1 << 32,
            i64::MAX,
        ];
        match self.0.usize(..=whole.len() + 1) {
            n if n < whole.len() => json!(whole[n]),
            n if n == whole.len() => Number::from_f64(1.0).map_or(Value::Null, Value::Number),
            _ => json!(1.5),
        }
    }

    fn odd(&mut self) -> Value {
        let all = [
            json!(null),
            json!([]),
            json!({}),
            json!(7),
            json!("7"),
            json!(false),
        ];
        all[self.0.usize(..all.len())].clone()
    }
}

/// The schema of a kind.
pub fn schema(kind: Kind) -> Value {
    let all = crds().into_iter();
    let crd = all
        .into_iter()
        .find(|crd| crd.spec.names.kind == kind.name());
    let versions = crd.map(|crd| serde_json::to_value(&crd.spec.versions));
    versions.unwrap().unwrap()[0]["schema"]["openAPIV3Schema"].clone()
}

/// The fields that a schema names.
fn fields(schema: &Value) -> Vec<(String, Value)> {
    let named = schema["properties"].as_object().into_iter().flatten();
    named
        .map(|(name, inner)| (name.clone(), inner.clone()))
        .collect()
}

/// Decodes an object as the operator does; what of it could not be read.
pub fn unreadable(kind: Kind, object: Value) -> Result<Option<String>, String> {
    use keylease_api::decode::Lenient;
    use keylease_api::{AwsAccount, AwsCredentialRequest, AwsRole};
    macro_rules! read {
        ($kind:ty) => {
            serde_json::from_value::<Lenient<$kind>>(object)
                .map(|object| object.spec.unreadable.summary())
                .map_err(|e| e.to_string())
        };
    }
    match kind {
        Kind::Account => read!(AwsAccount),
        Kind::Role => read!(AwsRole),
        Kind::Request => read!(AwsCredentialRequest),
    }
}
