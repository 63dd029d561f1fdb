//! A request as it was read, with what is worked out of it once.

use std::ops::Deref;
use std::sync::Arc;

use super::intent::{self, Intent};
use super::naming::ClusterId;
use super::stage::{Live, Stage};
use keylease_api::AwsCredentialRequest;

/// A request as it was read or written, its intent parsed and checked.
#[derive(Clone, Debug)]
pub struct Observed {
    request: Arc<AwsCredentialRequest>,
    intent: Option<Intent>,
}

impl Observed {
    /// Reads the intent out of a request of this cluster: for a live user
    /// corrected by the status, else as the annotation has it, if it stands
    /// beside our finalizer.
    pub fn new(request: Arc<AwsCredentialRequest>, cluster: &ClusterId) -> Self {
        let intent = match Live::of(&request) {
            Some(live) => Intent::of_live(&request, cluster, live.credential),
            None if intent::has_finalizer(&request) => Intent::of(&request, cluster),
            None => None,
        };
        Self { request, intent }
    }

    /// The intent, if there is one to believe.
    pub fn intent(&self) -> Option<&Intent> {
        self.intent.as_ref()
    }

    /// Where the request is in its life.
    pub fn stage(&self) -> Stage<'_> {
        let replaces = self.intent().and_then(|intent| intent.replaces.as_deref());
        Stage::of(&self.request, replaces)
    }
}

impl Deref for Observed {
    type Target = AwsCredentialRequest;

    fn deref(&self) -> &AwsCredentialRequest {
        &self.request
    }
}
