//! The wrapper in which objects are read.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::salvage::{Salvage, salvage};

/// An object of which the API server may hold more than can be read: to kube-rs
/// the object itself. Read and watch every kind in this.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Lenient<K>(pub K);

impl<'de, K: Salvage> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        salvage(value).map(Self).map_err(D::Error::custom)
    }
}

impl<K> Deref for Lenient<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.0
    }
}

impl<K> DerefMut for Lenient<K> {
    fn deref_mut(&mut self) -> &mut K {
        &mut self.0
    }
}

impl<K: Resource> Resource for Lenient<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}
