//! What calls to AWS teach of a user and its keys.

use jiff::{SignedDuration, Timestamp};

use crate::plan::doubt;
use crate::plan::effect::{Attachment, Effect, Outcome, Owner, Proof};
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::view::View;
use crate::plan::work::{Held, KeysFact, UserFact, Work};

/// First pause between two proofs of a key; it grows by half to
/// [`MAX_PROOF_PAUSE`].
const FIRST_PROOF_PAUSE: SignedDuration = SignedDuration::from_millis(100);
/// A new session that has less time left than this was issued by a clock that
/// disagrees with ours: AWS issues none for less than 15 minutes.
const LEAST_LEFT: SignedDuration = SignedDuration::from_mins(1);
/// Longest pause between two proofs. New keys take 2–15 s.
const MAX_PROOF_PAUSE: SignedDuration = SignedDuration::from_secs(1);

impl View {
    pub(super) fn record_in_aws(&mut self, effect: &Effect, outcome: Outcome, now: Timestamp) {
        let settled = match &outcome {
            Outcome::Inventory(found) if doubt::looks(self) => {
                Some(doubt::settle(self, found.as_deref(), now))
            }
            _ => None,
        };
        let work = &mut self.work;
        match (effect, outcome) {
            (Effect::FindUser(_), Outcome::Adoptee(found)) => work.adoptee = found,
            (Effect::ReadGroup(group), Outcome::Group(policies)) => {
                work.groups.insert(group.clone(), policies);
            }
            (Effect::CreateUser, _) => {
                removed(work);
                work.began = true;
                work.user = UserFact::Ours;
                work.made = Some(now);
            }
            (Effect::InspectUser, Outcome::User(owner)) => self.record_owner(owner, now),
            (Effect::Grant(permission), _) => {
                work.granted.insert(permission.clone(), true);
                work.cleared.remove(&Attachment::from(permission));
            }
            (Effect::ReadStanding, Outcome::Standing(standing)) => work.standing = standing,
            (Effect::ListKeys, Outcome::Keys(mut keys)) => {
                keys.retain(|k| work.held.as_ref().is_none_or(|h| h.id != *k));
                work.keys = KeysFact::Known(keys);
                work.listed = true;
            }
            (Effect::CreateKey, Outcome::KeyCreated(id)) => {
                work.held = Some(Held::new(id, now));
            }
            // One that is over as soon as it is there would be followed by the next
            // at once, and by that one's next.
            (Effect::IssueSession(_), Outcome::SessionIssued(_, expires))
                if expires.duration_since(now) < LEAST_LEFT =>
            {
                work.failure = Some(Verdict::new(
                    Reason::AwsUnavailable,
                    format!(
                        "AWS issued a session until {expires}, and by the operator's clock it is \
                         {now} already; set the clock of the operator's node right"
                    ),
                ));
            }
            // A session works from the moment at which STS hands it out.
            (Effect::IssueSession(_), Outcome::SessionIssued(id, expires)) => {
                work.held = Some(Held {
                    expires: Some(expires),
                    proven: true,
                    ..Held::new(id, now)
                });
            }
            (Effect::ProveKey, Outcome::Proof(proof)) => proved(work, proof, now),
            (Effect::TakeInventory, Outcome::Inventory(found)) => {
                work.cleared.clear();
                match (found, settled) {
                    (_, Some(doubt)) => work.doubt = doubt,
                    (Some(found), None) => work.inventory = Some(found),
                    (None, None) => work.user = UserFact::Gone,
                }
            }
            (Effect::Clear(attachment), _) => cleared(work, attachment, now),
            (Effect::DeleteUser, _) => removed(work),
            _ => {}
        }
    }

    pub(super) fn record_owner(&mut self, owner: Owner, now: Timestamp) {
        let work = &mut self.work;
        match (&owner, work.user) {
            // CreateUser says that it exists, GetUser that it does not: IAM's
            // readers lag, or somebody deleted it in between. Neither may be
            // believed yet; it is asked anew.
            (Owner::Nobody, UserFact::Taken) => {
                work.user = UserFact::Unknown;
                work.granted.clear();
                work.started = now;
                work.failure = Some(Verdict::new(
                    Reason::AwsUnavailable,
                    "IAM contradicts itself about the user: CreateUser or DeleteUser finds it, \
                     GetUser does not yet",
                ));
            }
            (Owner::Nobody, _) => work.user = UserFact::Gone,
            (Owner::Ours | Owner::Altered(_), _) => {
                work.altered = match owner {
                    Owner::Altered(why) => Some(why),
                    _ => None,
                };
                work.user = UserFact::Ours;
                // A former process may have made a key a moment ago, also for
                // a live lease: that had lost its Secret.
                work.keys = KeysFact::Uncertain(work.started);
            }
            (Owner::Foreign(why), _) => {
                work.user = UserFact::Foreign;
                work.altered = Some(why.clone());
            }
        }
    }
}

fn proved(work: &mut Work, proof: Proof, now: Timestamp) {
    let Some(held) = &mut work.held else { return };
    held.answered(proof);
    // The next server is asked at once.
    if held.accepted > 0 {
        held.next_proof = now;
        return;
    }
    let mut pause = FIRST_PROOF_PAUSE;
    for _ in 1..held.tries.min(20) {
        pause = (pause * 3 / 2).min(MAX_PROOF_PAUSE);
    }
    held.next_proof = now.checked_add(pause).unwrap_or(now);
}

pub(super) fn cleared(work: &mut Work, attachment: &Attachment, now: Timestamp) {
    if let Attachment::Key(id) = attachment {
        if let Some(held) = work.held.take_if(|h| h.id == *id)
            && held.overdue(now)
        {
            work.failure = Some(Verdict::new(
                Reason::KeyNotProven,
                format!("AWS did not accept the new key {id} in time; it was deleted"),
            ));
        }
        if let KeysFact::Known(keys) = &mut work.keys {
            keys.retain(|k| k != id);
        }
    }
    // Another attempt has to put it on again.
    work.granted
        .retain(|permission, _| Attachment::from(permission) != *attachment);
    work.cleared.insert(attachment.clone());
}

/// What was on the user went with it: another of its name has nothing.
pub(super) fn removed(work: &mut Work) {
    work.user = UserFact::Gone;
    work.granted.clear();
    work.cleared.clear();
    work.inventory = None;
    work.held = None;
    work.keys = KeysFact::Known(Vec::new());
}
