//! Work in progress, by the request's uid: facts and, apart from them, the key
//! in hand. It lives in memory only; what dies with the process is found again
//! in AWS.

use std::collections::HashMap;

use jiff::Timestamp;
use kube::ResourceExt;
use parking_lot::Mutex;

use keylease_api::AwsCredentialRequest;
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::work::{Doubt, Work};

/// What lies on the desk for one request.
pub struct Folder {
    /// The facts.
    pub work: Work,
    /// The key that exists nowhere else yet.
    pub key: Option<KeyMaterial>,
}

/// Namespace and name of a request.
type Who = (String, String);

/// A folder, and whose it is.
struct Kept {
    who: Who,
    folder: Folder,
}

/// All folders. kube-rs never runs two reconciliations of one object at a
/// time, so a folder is taken out for the length of one.
#[derive(Default)]
pub struct Desk {
    folders: Mutex<HashMap<String, Kept>>,
    /// Requests whose user the sweep doubts, until they are taken up.
    doubted: Mutex<HashMap<String, Who>>,
}

impl Desk {
    /// Takes the folder of a request, or an empty one.
    pub fn take(&self, uid: &str, now: Timestamp) -> Folder {
        let found = self.folders.lock().remove(uid).map(|kept| kept.folder);
        let mut folder = found.unwrap_or_else(|| Folder {
            work: Work::new(now),
            key: None,
        });
        if self.doubted.lock().remove(uid).is_some() && folder.work.doubt == Doubt::None {
            folder.work.doubt = Doubt::Raised;
        }
        folder
    }

    /// Whoever takes this request up next is to look at its user in AWS.
    pub fn doubt(&self, uid: &str, namespace: &str, name: &str) {
        let who = (namespace.to_owned(), name.to_owned());
        self.doubted.lock().insert(uid.to_owned(), who);
    }

    /// Whether a key lies in the folder of a request.
    pub fn holds_key(&self, uid: &str) -> bool {
        let folders = self.folders.lock();
        folders
            .get(uid)
            .is_some_and(|kept| kept.folder.key.is_some())
    }

    /// Puts a folder back for later.
    pub fn put(&self, request: &AwsCredentialRequest, folder: Folder) {
        let who = (request.namespace_name().to_owned(), request.name_any());
        let kept = Kept { who, folder };
        self.folders
            .lock()
            .insert(request.uid_str().to_owned(), kept);
    }

    /// The request of that name is gone, and nobody takes it up again. What was
    /// begun for it without an end is the sweep's; its key goes from memory.
    pub fn forget(&self, namespace: &str, name: &str) {
        let is = |who: &Who| who.0 == namespace && who.1 == name;
        self.folders.lock().retain(|_, kept| !is(&kept.who));
        self.doubted.lock().retain(|_, who| !is(who));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::request;
    use super::*;

    #[test]
    fn what_lay_there_for_a_request_goes_with_it() {
        let desk = Desk::default();
        let mut other = request();
        other.metadata.name = Some("other".into());
        other.metadata.uid = Some("other-uid".into());
        for request in [&request(), &other] {
            let key = KeyMaterial::new("AKIA".into(), "s".into(), None);
            let folder = Folder {
                work: Work::new(Timestamp::UNIX_EPOCH),
                key: Some(key),
            };
            desk.put(request, folder);
            desk.doubt(
                request.uid_str(),
                request.namespace_name(),
                &request.name_any(),
            );
        }
        let gone = request();
        desk.forget(gone.namespace_name(), &gone.name_any());
        assert!(!desk.holds_key(gone.uid_str()));
        assert!(desk.holds_key(other.uid_str()));
        assert_eq!(
            desk.doubted.lock().keys().collect::<Vec<_>>(),
            ["other-uid"]
        );
    }
}
