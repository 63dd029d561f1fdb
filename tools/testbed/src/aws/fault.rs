//! Faults: rules that make some calls fail in chosen ways.

use std::time::Duration;

use super::error::AwsError;

/// What happens to a call that a [`Fault`] matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// Not applied; this error is the answer.
    Error {
        /// HTTP status; from 500 on the error is the server's fault.
        status: u16,
        /// Such as `AccessDenied`.
        code: String,
        /// For people. `{n}` becomes a number that grows with each error, as times
        /// and ids of requests do in what AWS says.
        message: String,
    },
    /// Applied, then the connection is closed without an answer.
    LostReply,
    /// Not applied; the connection is closed without an answer.
    DropBefore,
    /// Applied only after this long, even if the caller has gone by then: the
    /// call that everybody had given up.
    Delay(Duration),
    /// Applied at once, answered only after this long: the call that timed
    /// out and succeeded.
    DelayReply(Duration),
    /// Not applied and never answered; the connection stays open.
    Hang,
}

impl FaultKind {
    /// An error answer.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    /// IAM's way of throttling.
    #[must_use]
    pub fn throttling() -> Self {
        Self::error(400, "Throttling", "Rate exceeded")
    }

    /// The caller lacks the permission.
    #[must_use]
    pub fn access_denied() -> Self {
        Self::error(
            403,
            "AccessDenied",
            "User is not authorized to perform this action",
        )
    }

    /// IAM has an outage.
    #[must_use]
    pub fn service_failure() -> Self {
        Self::error(
            500,
            "ServiceFailure",
            "The request processing has failed because of an unknown error",
        )
    }
}

/// A rule: which calls, what happens, how often. Conditions that are absent
/// match every call; of several rules that match, the oldest acts.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The action, such as `CreateAccessKey`.
    pub op: Option<String>,
    /// A part of the name of the user that the call is about.
    pub user_contains: Option<String>,
    /// The access key that signed the call.
    pub caller_key: Option<String>,
    /// What happens.
    pub kind: FaultKind,
    /// Act this often, then never again. `None`: without end.
    pub times: Option<u32>,
    /// Act on this share of the matching calls.
    pub probability: f64,
}

impl Fault {
    /// For every call.
    #[must_use]
    pub fn any(kind: FaultKind) -> Self {
        Self {
            op: None,
            user_contains: None,
            caller_key: None,
            kind,
            times: None,
            probability: 1.0,
        }
    }

    /// For every call of one action.
    #[must_use]
    pub fn on(op: &str, kind: FaultKind) -> Self {
        Self {
            op: Some(op.to_owned()),
            ..Self::any(kind)
        }
    }

    /// Only for users whose name contains `part`.
    #[must_use]
    pub fn user(mut self, part: &str) -> Self {
        self.user_contains = Some(part.to_owned());
        self
    }

    /// Only for calls signed with this key.
    #[must_use]
    pub fn caller(mut self, key_id: &str) -> Self {
        self.caller_key = Some(key_id.to_owned());
        self
    }

    /// Only so often.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Only for this share of the calls.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    fn matches(&self, target: &Target<'_>) -> bool {
        let same = |wanted: &Option<String>, value: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == value
        };
        let user_matches = match (&self.user_contains, target.user) {
            (None, _) => true,
            (Some(part), Some(user)) => user.contains(part.as_str()),
            (Some(_), None) => false,
        };
        user_matches && same(&self.op, Some(target.op)) && same(&self.caller_key, target.caller_key)
    }
}

/// Names a fault, to remove it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultId(u64);

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) op: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) caller_key: Option<&'a str>,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Vec<(FaultId, Fault)>,
    next: u64,
    struck: u64,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        let id = FaultId(self.next);
        self.next += 1;
        self.rules.push((id, fault));
        id
    }

    pub(super) fn remove(&mut self, id: FaultId) {
        self.rules.retain(|(other, _)| *other != id);
    }

    pub(super) fn times_left(&self, id: FaultId) -> Option<u32> {
        let (_, rule) = self.rules.iter().find(|(other, _)| *other == id)?;
        rule.times
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// What is to happen to this call, if anything.
    pub(super) fn strike(
        &mut self,
        target: &Target<'_>,
        rng: &mut fastrand::Rng,
    ) -> Option<FaultKind> {
        let (_, rule) = self.rules.iter_mut().find(|(_, rule)| {
            rule.times != Some(0) && rule.matches(target) && rng.f64() < rule.probability
        })?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        let mut kind = rule.kind.clone();
        if let FaultKind::Error { message, .. } = &mut kind {
            self.struck += 1;
            *message = message.replace("{n}", &self.struck.to_string());
        }
        Some(kind)
    }
}

impl FaultKind {
    /// The error of the variant `Error`.
    pub(super) fn as_error(&self) -> Option<AwsError> {
        match self {
            Self::Error {
                status,
                code,
                message,
            } => Some(AwsError::new(*status, code.clone(), message.clone())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(op: &'a str, user: &'a str) -> Target<'a> {
        Target {
            op,
            user: Some(user),
            caller_key: Some("AKIA1"),
        }
    }

    #[test]
    fn conditions_and_counts() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut faults = Faults::default();
        faults.add(
            Fault::on("CreateUser", FaultKind::LostReply)
                .user("web")
                .times(1),
        );
        let id = faults.add(Fault::any(FaultKind::Hang).caller("AKIA1"));
        let mut strike = |faults: &mut Faults, op, user| faults.strike(&call(op, user), &mut rng);

        assert_eq!(
            strike(&mut faults, "CreateUser", "a-web-b"),
            Some(FaultKind::LostReply)
        );
        assert_eq!(
            strike(&mut faults, "CreateUser", "a-web-b"),
            Some(FaultKind::Hang)
        );
        faults.remove(id);
        assert_eq!(strike(&mut faults, "CreateUser", "a-web-b"), None);
    }

    #[test]
    fn probability_is_a_share() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut faults = Faults::default();
        faults.add(Fault::any(FaultKind::throttling()).probability(0.25));
        let hits = (0..4000)
            .filter(|_| faults.strike(&call("GetUser", "u"), &mut rng).is_some())
            .count();
        assert!((900..1100).contains(&hits), "{hits} of 4000");
    }
}
