//! Effects: each [`Effect`] performed by one function, one call, one outcome.

mod account;
mod calls;
mod claim;
mod events;
mod hold;
mod identity;
mod request;
mod root_secret;
mod secret;
mod status;
mod trace;
mod workload;

pub use calls::KubeCalls;
pub use events::Announcer;
pub use hold::{Holds, set_hold};
pub use identity::{RECORDS, Records};
pub use root_secret::RootSecret;
pub use status::{HasStatus, write_status};
pub use trace::EpochTraces;

use jiff::Timestamp;
use kube::Client;

use crate::aws::Session;
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::effect::{Effect, Fault, FaultClass, Outcome};
use keylease_core::plan::ownership;
use keylease_core::plan::pacing::Priority;
use keylease_core::plan::view::{AccountView, RoleView, View};

pub use keylease_core::plan::naming::FIELD_MANAGER;

/// What effects are performed with.
#[derive(Clone)]
pub struct Hands {
    /// The Kubernetes client.
    pub client: Client,
    /// Timeouts and counters for it.
    pub calls: KubeCalls,
    /// Writes events.
    pub announcer: Announcer,
    /// Which accounts are held.
    pub holds: Holds,
}

impl Hands {
    /// Performs one effect. The key in hand is apart from the view: it goes in
    /// where one is made and is read where one is used.
    pub async fn perform(
        &self,
        effect: &Effect,
        view: &View,
        session: Option<&Session>,
        key: &mut Option<KeyMaterial>,
    ) -> Outcome {
        let result = if effect.on_kubernetes() {
            self.on_kubernetes(effect, view, key.as_ref()).await
        } else {
            match session {
                Some(session) => {
                    let priority = Priority::of_effect(effect, view, Timestamp::now());
                    // It has room for each of its calls: not on the stack.
                    Box::pin(on_aws(effect, view, &session.at(priority), key)).await
                }
                None => Err(not_signed_in()),
            }
        };
        result.unwrap_or_else(Outcome::Failed)
    }

    async fn on_kubernetes(
        &self,
        effect: &Effect,
        view: &View,
        key: Option<&KeyMaterial>,
    ) -> Result<Outcome, Fault> {
        let request = &view.request;
        match effect {
            Effect::Begin(intent) => self.begin(request, intent).await,
            Effect::HoldAccount(account) => self.hold_account(account).await,
            Effect::Release => self.release(request).await,
            Effect::Report(report) => self.report(request, report).await,
            Effect::CheckSecret => self.check_secret(view).await,
            Effect::PublishSecret(term) => match key {
                Some(key) => self.publish_secret(view, key, term).await,
                None => Err(no_key()),
            },
            Effect::AmendSecret(what) => self.amend_secret(request, what).await,
            Effect::DeleteSecret(facts) => self.delete_secret(request, facts).await,
            Effect::Restart(workload, key_id) => self.restart(request, workload, key_id).await,
            Effect::DeleteRequest => self.delete_request(request).await,
            Effect::Claim(holder) => self.claim(&view.role, Some(holder)).await,
            Effect::Unclaim => self.claim(&view.role, None).await,
            _ => Err(misrouted(effect)),
        }
    }
}

async fn on_aws(
    effect: &Effect,
    view: &View,
    aws: &Session,
    key: &mut Option<KeyMaterial>,
) -> Result<Outcome, Fault> {
    if let Effect::IssueSession(spec) = effect {
        let (made, expires) = aws.issue_session(spec).await?;
        let id = made.id().to_owned();
        *key = Some(made);
        return Ok(Outcome::SessionIssued(id, expires));
    }
    if let Effect::ReadGroup(name) = effect {
        return aws.group_policies(name).await.map(Outcome::Group);
    }
    if let Effect::FindUser(name) = effect {
        let found = aws.get_user(name).await?;
        return Ok(Outcome::Adoptee(ownership::adoptee(found)));
    }
    let Some(intent) = view.intent() else {
        return Err(misrouted(effect));
    };
    let user = intent.user_name.as_str();
    match effect {
        Effect::CreateUser => {
            let (RoleView::Found(role), AccountView::Ready(account)) = (&view.role, &view.account)
            else {
                return Err(misrouted(effect));
            };
            let tags = ownership::user_tags(&view.request, role, account, &view.cluster);
            aws.create_user(intent, tags).await.map(|()| Outcome::Done)
        }
        Effect::InspectUser => {
            let found = aws.get_user(user).await?;
            let owner = found.map_or(keylease_core::plan::effect::Owner::Nobody, |facts| {
                let delivered = view.live().is_some();
                ownership::judge(&facts, intent, &view.request, &view.cluster, delivered)
            });
            Ok(Outcome::User(owner))
        }
        Effect::Grant(permission) => {
            let document = match &view.role {
                RoleView::Found(role) => {
                    let user = role.spec.iam_user.as_ref();
                    user.and_then(|u| u.policy_document.as_deref())
                }
                _ => None,
            };
            aws.grant(user, permission, document)
                .await
                .map(|()| Outcome::Done)
        }
        Effect::ReadStanding => {
            let key = view
                .live()
                .map(|live| live.credential.access_key_id.as_str());
            let read = aws.standing(user, key.unwrap_or_default());
            read.await.map(Outcome::Standing)
        }
        Effect::ListKeys => aws.list_keys(user).await.map(Outcome::Keys),
        Effect::CreateKey => {
            let made = aws.create_key(user).await?;
            let id = made.id().to_owned();
            *key = Some(made);
            Ok(Outcome::KeyCreated(id))
        }
        Effect::ProveKey => match key {
            Some(key) => {
                let arn = intent.user_arn(&aws.facts.partition);
                // The first yes is waited for; those after it have to come from
                // other servers.
                let apart = view.in_hand().is_some_and(|held| held.accepted > 0);
                let proof = aws.prove_key(key, &arn, apart).await?;
                Ok(Outcome::Proof(proof))
            }
            None => Err(no_key()),
        },
        Effect::TakeInventory => aws.inventory(user).await.map(Outcome::Inventory),
        Effect::Clear(attachment) => aws.clear(user, attachment).await.map(|()| Outcome::Done),
        Effect::DeleteUser => aws.delete_user(user).await.map(|()| Outcome::Done),
        _ => Err(misrouted(effect)),
    }
}

fn not_signed_in() -> Fault {
    Fault {
        class: FaultClass::Unavailable,
        message: "the account is not signed in any more".to_owned(),
    }
}

fn no_key() -> Fault {
    Fault {
        class: FaultClass::Unavailable,
        message: "there is no key in hand".to_owned(),
    }
}

fn misrouted(effect: &Effect) -> Fault {
    Fault {
        class: FaultClass::Unavailable,
        message: format!("{} was decided on without what it needs", effect.name()),
    }
}
