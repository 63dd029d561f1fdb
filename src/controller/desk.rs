//! Work in progress, by the request's uid: facts and, apart from them, the key
//! in hand. It lives in memory only; what dies with the process is found again
//! in AWS.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::key_material::KeyMaterial;
use crate::plan::work::{Doubt, Work};

/// What lies on the desk for one request.
pub struct Folder {
    /// The facts.
    pub work: Work,
    /// The key that exists nowhere else yet.
    pub key: Option<KeyMaterial>,
}

/// All folders. kube-rs never runs two reconciliations of one object at a
/// time, so a folder is taken out for the length of one.
#[derive(Default)]
pub struct Desk {
    folders: Mutex<HashMap<String, Folder>>,
    /// Requests whose user the sweep doubts, until they are taken up.
    doubted: Mutex<HashSet<String>>,
}

impl Desk {
    /// Takes the folder of a request, or an empty one.
    pub fn take(&self, uid: &str, now: Timestamp) -> Folder {
        let found = self.folders.lock().remove(uid);
        let mut folder = found.unwrap_or_else(|| Folder {
            work: Work::new(now),
            key: None,
        });
        if self.doubted.lock().remove(uid) && folder.work.doubt == Doubt::None {
            folder.work.doubt = Doubt::Raised;
        }
        folder
    }

    /// Whoever takes this request up next is to look at its user in AWS.
    pub fn doubt(&self, uid: &str) {
        self.doubted.lock().insert(uid.to_owned());
    }

    /// Whether a key lies in the folder of a request.
    pub fn holds_key(&self, uid: &str) -> bool {
        let folders = self.folders.lock();
        folders.get(uid).is_some_and(|folder| folder.key.is_some())
    }

    /// Puts a folder back for later.
    pub fn put(&self, uid: &str, folder: Folder) {
        self.folders.lock().insert(uid.to_owned(), folder);
    }
}
