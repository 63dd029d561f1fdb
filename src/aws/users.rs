//! IAM users: make, recognise, equip, remove.

use std::collections::BTreeMap;

use aws_sdk_iam::types::{Tag, User};
use jiff::Timestamp;

use super::Session;
use super::error::incomplete;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::intent::{Intent, Permission};
use keylease_core::plan::naming::INLINE_POLICY;
use keylease_core::plan::ownership::UserFacts;
use keylease_core::plan::sweep::ListedUser;

/// Users on a page of `ListUsers`: as many as AWS allows.
const PAGE: i32 = 1000;

impl Session {
    /// `CreateUser` with path, tags and boundary in one call: there is never a
    /// moment in which the user exists without them.
    pub async fn create_user(
        &self,
        intent: &Intent,
        tags: BTreeMap<String, String>,
    ) -> Result<(), Fault> {
        let tags = tags.into_iter().map(|(key, value)| tag(&key, &value));
        let tags = tags.collect::<Result<Vec<_>, _>>()?;
        let call = self
            .iam
            .create_user()
            .user_name(&intent.user_name)
            .path(&intent.path)
            .set_permissions_boundary(intent.boundary.clone())
            .set_tags(Some(tags))
            .send();
        self.calls.iam("CreateUser", call).await.map(drop)
    }

    /// `GetUser`: what is known of the user, or `None` if there is none.
    pub async fn get_user(&self, name: &str) -> Result<Option<UserFacts>, Fault> {
        let call = self.iam.get_user().user_name(name).send();
        match self.calls.iam("GetUser", call).await {
            Ok(answer) => match answer.user {
                Some(user) => Ok(Some(facts(user))),
                // Not the same as a user that is not there: that is an error of
                // its own.
                None => Err(incomplete("user")),
            },
            Err(fault) if fault.class == FaultClass::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Puts one permission on the user. Doing it twice does no harm.
    pub async fn grant(
        &self,
        user: &str,
        permission: &Permission,
        document: Option<&str>,
    ) -> Result<(), Fault> {
        match permission {
            Permission::ManagedPolicy(arn) => {
                let call = self
                    .iam
                    .attach_user_policy()
                    .user_name(user)
                    .policy_arn(arn);
                self.calls
                    .iam("AttachUserPolicy", call.send())
                    .await
                    .map(drop)
            }
            Permission::InlinePolicy => {
                let call = self
                    .iam
                    .put_user_policy()
                    .user_name(user)
                    .policy_name(INLINE_POLICY)
                    .policy_document(document.unwrap_or_default());
                self.calls.iam("PutUserPolicy", call.send()).await.map(drop)
            }
            Permission::Group(group) => {
                let call = self
                    .iam
                    .add_user_to_group()
                    .user_name(user)
                    .group_name(group);
                self.calls
                    .iam("AddUserToGroup", call.send())
                    .await
                    .map(drop)
            }
        }
    }

    /// `ListUsers`: the users whose path begins like this, a thousand a call.
    pub async fn list_users(&self, path: &str) -> Result<Vec<ListedUser>, Fault> {
        let mut found = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let call = self.iam.list_users().path_prefix(path).max_items(PAGE);
            let call = call.set_marker(marker.take()).send();
            let page = self.calls.iam("ListUsers", call).await?;
            found.extend(page.users.into_iter().map(|user| ListedUser {
                name: user.user_name,
                path: user.path,
                created: Timestamp::from_second(user.create_date.secs()).unwrap_or(Timestamp::MAX),
            }));
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                return Ok(found);
            }
        }
    }

    /// `DeleteUser`. Fails with a conflict while anything is left on it.
    pub async fn delete_user(&self, name: &str) -> Result<(), Fault> {
        let call = self.iam.delete_user().user_name(name).send();
        self.calls.iam("DeleteUser", call).await.map(drop)
    }
}

pub(super) fn tag(key: &str, value: &str) -> Result<Tag, Fault> {
    let tag = Tag::builder().key(key).value(value).build();
    tag.map_err(|e| Fault {
        class: FaultClass::Refused,
        message: e.to_string(),
    })
}

pub(super) fn facts(user: User) -> UserFacts {
    let boundary = user.permissions_boundary;
    let tags = user.tags.unwrap_or_default().into_iter();
    UserFacts {
        path: user.path,
        boundary: boundary.and_then(|b| b.permissions_boundary_arn),
        tags: tags.map(|tag| (tag.key, tag.value)).collect(),
    }
}
