//! The keys of the operator's own user.

use jiff::Timestamp;

use super::Session;
use keylease_core::plan::effect::Fault;
use keylease_core::plan::root_rotation::UserKey;

impl Session {
    /// `ListAccessKeys` of our own user, with the time of their creation.
    /// (A user has two at most, so there is one page.)
    ///
    /// # Errors
    /// The classified fault.
    pub async fn own_keys(&self, user: &str) -> Result<Vec<UserKey>, Fault> {
        let call = self.iam.list_access_keys().user_name(user).send();
        let answer = self.calls.iam("ListAccessKeys", call).await?;
        let keys = answer.access_key_metadata.into_iter();
        Ok(keys
            .filter_map(|key| {
                let created = Timestamp::from_second(key.create_date?.secs()).ok()?;
                let id = key.access_key_id?;
                Some(UserKey { id, created })
            })
            .collect())
    }
}
