//! A request as its cache keeps it.

use std::borrow::Cow;
use std::fmt;

use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::glance::Glance;
use super::sheet::Sheet;
use super::slim::slim;
use keylease_api::AwsCredentialRequest;
use keylease_api::decode::Lenient;

/// A request, folded up: about a fifth of the memory of the open one.
///
/// To kube-rs it is the request: same kind, same name. Of the metadata only
/// what tells one from the other is in `meta`; the rest is on the sheet.
#[derive(Clone)]
pub struct Filed {
    meta: ObjectMeta,
    /// What is looked for in all requests.
    pub glance: Glance,
    sheet: Sheet,
}

/// A filed request cannot be read back. Nothing from outside leads to this.
#[derive(Debug, thiserror::Error)]
#[error("the cached request is not readable: {0}")]
pub struct Unreadable(String);

impl Filed {
    /// Files a request.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn new(mut request: AwsCredentialRequest) -> Result<Self, Unreadable> {
        slim(&mut request);
        let text = serde_json::to_vec(&request).map_err(|e| Unreadable(e.to_string()))?;
        let meta = ObjectMeta {
            name: request.metadata.name.clone(),
            namespace: request.metadata.namespace.clone(),
            uid: request.metadata.uid.clone(),
            resource_version: request.metadata.resource_version.clone(),
            ..ObjectMeta::default()
        };
        Ok(Self {
            glance: Glance::of(&request),
            sheet: Sheet::fold(&text),
            meta,
        })
    }

    /// Its namespace.
    pub fn namespace_name(&self) -> &str {
        self.meta.namespace.as_deref().unwrap_or_default()
    }

    /// The uid that the API server gave it.
    pub fn uid_str(&self) -> &str {
        self.meta.uid.as_deref().unwrap_or_default()
    }

    /// The whole request.
    ///
    /// # Errors
    /// It cannot be read back.
    pub fn open(&self) -> Result<AwsCredentialRequest, Unreadable> {
        let text = self.sheet.unfold()?;
        let mut request: AwsCredentialRequest =
            serde_json::from_slice(&text).map_err(|e| Unreadable(e.to_string()))?;
        request.spec.unreadable = self.glance.unreadable.clone();
        Ok(request)
    }
}

impl Unreadable {
    /// With what the reader said.
    pub(super) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl<'de> Deserialize<'de> for Filed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Lenient(request) = Lenient::deserialize(from)?;
        Self::new(request).map_err(D::Error::custom)
    }
}

impl fmt::Debug for Filed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filed({}/{})", self.namespace_name(), self.name_any())
    }
}

impl Resource for Filed {
    type DynamicType = ();
    type Scope = <AwsCredentialRequest as Resource>::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        AwsCredentialRequest::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        AwsCredentialRequest::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        AwsCredentialRequest::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        AwsCredentialRequest::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::ObjectRef;
    use serde_json::json;

    use super::*;
    use crate::cache::sheet::TYPICAL;

    #[test]
    fn what_is_filed_comes_back_whole() {
        let request: AwsCredentialRequest = serde_json::from_slice(TYPICAL).unwrap();
        let filed: Filed = serde_json::from_slice(TYPICAL).unwrap();
        assert_eq!(
            serde_json::to_value(filed.open().unwrap()).unwrap(),
            serde_json::to_value(&request).unwrap(),
        );
    }

    #[test]
    fn to_the_runtime_it_is_the_request() {
        let request: AwsCredentialRequest = serde_json::from_slice(TYPICAL).unwrap();
        let filed = Filed::new(request.clone()).unwrap();
        assert_eq!(
            ObjectRef::from_obj(&filed).erase(),
            ObjectRef::from_obj(&request).erase()
        );
        assert_eq!(filed.uid(), request.uid());
        assert_eq!(filed.resource_version(), request.resource_version());
    }

    #[test]
    fn what_is_printed_of_it_is_its_name() {
        let filed: Filed = serde_json::from_slice(TYPICAL).unwrap();
        assert_eq!(format!("{filed:?}"), "Filed(team-a/reports)");
    }

    #[test]
    fn what_could_not_be_read_is_kept() {
        let object = json!({
            "metadata": {"name": "app", "namespace": "team", "uid": "u"},
            "spec": {"roleRef": {"name": "dev"}, "onExpiry": "Extend"},
        });
        let filed: Filed = serde_json::from_value(object).unwrap();
        let opened = filed.open().unwrap();
        assert!(opened.spec.unreadable.touch("spec.onExpiry"));
        assert_eq!(opened.spec.unreadable, filed.glance.unreadable);
    }

    /// Nothing is concluded from an answer that is no object at all.
    #[test]
    fn what_is_no_object_is_not_filed() {
        for answer in [
            json!({}),
            json!([]),
            json!({"kind": "Status", "metadata": {}, "code": 200}),
            json!({"metadata": {"name": "app"}, "spec": 1}),
        ] {
            assert!(serde_json::from_value::<Filed>(answer).is_err());
        }
    }
}
