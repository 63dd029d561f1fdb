//! From a user that no request accounts for to the request that it was once
//! made for. There is one way to take a user down; the sweep walks it in the
//! place of the request that is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::plan::admission::AccountFacts;
use crate::plan::intent::{FINALIZER, INTENT_ANNOTATION, Intent, user_name_of};
use crate::plan::naming::{self, ClusterId};
use crate::plan::ownership::UserFacts;
use crate::plan::view::{AccountView, SecretHint, Seen, View};
use crate::plan::work::{UserFact, Work};
use keylease_api::{AwsCredentialRequest, AwsCredentialRequestSpec, NameRef};

/// Whether a user name has the form of ours: cheap, before anything is asked.
/// What proves it is the hash at its end, with the tags; see [`stand_in`].
pub fn is_our_form(name: &str) -> bool {
    naming::is_user_name(name)
}

/// The request that a user was made for, told from its tags alone. `Err` says
/// why the user is none of ours.
///
/// The tags must be all of ours and name our cluster, the path must be ours,
/// and the user's name must be the one that follows from them.
///
/// # Errors
/// The reason, for a person.
pub fn stand_in(
    name: &str,
    user: &UserFacts,
    account: &AccountFacts,
    cluster: &ClusterId,
) -> Result<AwsCredentialRequest, String> {
    let tag = |key: &str| {
        let value = user.tag(key).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("it has no tag {key}"))
    };
    if tag(naming::TAG_CLUSTER)? != &cluster.0 {
        return Err("its tags name another cluster".to_owned());
    }
    if !user
        .path
        .starts_with(&super::swept_path(&account.path, cluster))
    {
        return Err(format!("its path is {}", user.path));
    }
    let mut request = AwsCredentialRequest::new(
        tag(naming::TAG_REQUEST)?,
        AwsCredentialRequestSpec {
            role_ref: NameRef {
                name: tag(naming::TAG_ROLE)?.clone(),
            },
            ..AwsCredentialRequestSpec::default()
        },
    );
    request.metadata.namespace = Some(tag(naming::TAG_NAMESPACE)?.clone());
    request.metadata.uid = Some(tag(naming::TAG_UID)?.clone());
    let intent = intent(&request, user, account, cluster);
    if intent.user_name != name {
        return Err("its name does not follow from its tags".to_owned());
    }
    request.metadata = ObjectMeta {
        finalizers: Some(vec![FINALIZER.to_owned()]),
        annotations: Some(BTreeMap::from([(
            INTENT_ANNOTATION.to_owned(),
            intent.to_json(),
        )])),
        ..request.metadata
    };
    Ok(request)
}

fn intent(
    request: &AwsCredentialRequest,
    user: &UserFacts,
    account: &AccountFacts,
    cluster: &ClusterId,
) -> Intent {
    Intent {
        uid: request.uid_str().to_owned(),
        attempt: 0,
        account: account.name.clone(),
        account_id: account.account_id.clone(),
        user_name: user_name_of(request, cluster),
        adopted: false,
        path: user.path.clone(),
        boundary: user.boundary.clone(),
        permissions: Vec::new(),
        retired: Vec::new(),
        replaces: None,
        role: String::new(),
        ttl_seconds: 0,
        max_ttl_seconds: 0,
    }
}

/// The view from which the user is taken down: its request is gone, the user is
/// ours, and what is on it is not known.
pub fn view(
    request: AwsCredentialRequest,
    account: &AccountFacts,
    cluster: &ClusterId,
    now: Timestamp,
) -> View {
    let work = Work {
        user: UserFact::Ours,
        ..Work::new(now)
    };
    View {
        seen: Seen::Direct,
        gone: true,
        account: AccountView::Ready(Box::new(account.clone())),
        hint: SecretHint::Missing,
        ..View::new(cluster.clone(), Arc::new(request), work)
    }
}
