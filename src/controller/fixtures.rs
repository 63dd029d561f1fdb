//! What the tests of the wiring begin with.

use keylease_api::AwsCredentialRequest;
use serde_json::json;

/// A request as the API server stored it.
pub(super) fn request() -> AwsCredentialRequest {
    let stored = json!({
        "metadata": {"name": "app", "namespace": "team", "uid": "request-uid",
            "generation": 1, "resourceVersion": "1"},
        "spec": {"roleRef": {"name": "dev"}},
    });
    serde_json::from_value(stored).unwrap()
}
