//! Who may have a user: the requests as one fresh list has them, reduced to
//! what the sweep compares.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::plan::intent::user_name_of;
use crate::plan::naming::ClusterId;
use crate::plan::stage::{Live, Stage};
use keylease_api::{AwsCredentialRequest, ConditionType, Credential, Phase, get_condition};

/// All requests of the cluster, by the name of the user that each of them has,
/// had or will have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    claims: HashMap<String, Claim>,
}

/// One request's claim on its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The request's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// It ended for good and let go: it will never make a user again.
    ended: bool,
    /// Its running lease of an IAM user.
    pub live: Option<LiveClaim>,
}

/// A running lease of an IAM user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveClaim {
    /// The AWS account of the user.
    pub account_id: String,
    /// The user's ARN.
    pub arn: String,
    /// When the present key was delivered.
    pub issued_at: Timestamp,
    /// How many keys the user may have: two during an overlap.
    pub keys: usize,
    /// Its status says that the key is out of service.
    pub suspended: bool,
    /// A successor of the key is being made, so that nothing can be concluded
    /// from a count.
    pub changing: bool,
}

impl Census {
    /// Takes in one request.
    pub fn add(&mut self, request: &AwsCredentialRequest, cluster: &ClusterId) {
        let claim = Claim::of(request, cluster);
        self.claims.insert(user_name_of(request, cluster), claim);
    }

    /// The request that has, had or will have the user of that name. Names hold
    /// a hash of the request's uid, so no other can.
    pub fn of_user(&self, name: &str) -> Option<&Claim> {
        self.claims.get(name)
    }

    /// How many requests there are, in whatever state.
    pub fn requests(&self) -> usize {
        self.claims.len()
    }

    /// All claims, with the names of their users.
    pub(super) fn claims(&self) -> impl Iterator<Item = (&String, &Claim)> {
        self.claims.iter()
    }
}

impl Claim {
    /// What a request claims.
    pub fn of(request: &AwsCredentialRequest, cluster: &ClusterId) -> Self {
        let status = request.status.as_ref();
        let stage = Stage::of(request, None);
        let own = user_name_of(request, cluster);
        let previous = status.and_then(|s| s.previous.as_ref());
        let phase = status.and_then(|s| s.phase);
        // Of one that cannot be read nothing can be concluded but that it is there.
        let readable = request.spec.unreadable.is_empty();
        let live = match stage {
            Stage::Deleting(_) => None,
            stage => stage.live().filter(|_| readable),
        };
        let is_own = |c: &&Credential| c.user_name.as_ref() == Some(&own);
        let live = live.filter(|live| is_own(&live.credential));
        let told = status.and_then(|s| s.credential.as_ref()).filter(is_own);
        Self {
            namespace: request.namespace_name().to_owned(),
            name: request.metadata.name.clone().unwrap_or_default(),
            uid: request.uid_str().to_owned(),
            ended: readable && matches!(stage, Stage::Ended) && told.is_none(),
            live: live.map(|Live { lease, credential }| LiveClaim {
                account_id: credential.account_id.clone(),
                arn: credential.arn.clone().unwrap_or_default(),
                issued_at: lease.issued_at.0,
                keys: 1 + usize::from(previous.is_some()),
                suspended: status.is_some_and(|s| {
                    get_condition(&s.conditions, ConditionType::Suspended).is_some()
                }),
                changing: phase != Some(Phase::Ready),
            }),
        }
    }

    /// Whether a user of the request is accounted for. One that waits for its
    /// turn may be about to adopt what a former attempt left.
    pub fn stands(&self) -> bool {
        !self.ended
    }
}
