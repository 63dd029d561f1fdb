//! AWS's error answers.

use std::borrow::Cow;

/// An error as AWS's Query protocol has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AwsError {
    pub(super) status: u16,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
}

impl AwsError {
    pub(super) fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    /// `<Type>` of the answer: whose fault it is.
    pub(super) fn fault_of(&self) -> &'static str {
        if self.status < 500 {
            "Sender"
        } else {
            "Receiver"
        }
    }

    pub(super) fn no_such_entity(message: impl Into<String>) -> Self {
        Self::new(404, "NoSuchEntity", message)
    }

    pub(super) fn no_such_user(name: &str) -> Self {
        Self::no_such_entity(format!("The user with name {name} cannot be found."))
    }

    pub(super) fn exists(message: impl Into<String>) -> Self {
        Self::new(409, "EntityAlreadyExists", message)
    }

    pub(super) fn limit(what: &str, quota: usize) -> Self {
        let message = format!("Cannot exceed quota for {what}: {quota}");
        Self::new(409, "LimitExceeded", message)
    }

    pub(super) fn delete_conflict(what: &str) -> Self {
        let message = format!("Cannot delete entity, must {what} first.");
        Self::new(409, "DeleteConflict", message)
    }

    pub(super) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidInput", message)
    }

    pub(super) fn access_denied(message: impl Into<String>) -> Self {
        Self::new(403, "AccessDenied", message)
    }

    /// AWS's wording for a parameter that breaks a rule of its model.
    pub(super) fn validation(param: &str, rule: &str) -> Self {
        let mut letters = param.chars();
        let first = letters.next().unwrap_or_default().to_ascii_lowercase();
        let message = format!(
            "1 validation error detected: Value at '{first}{}' failed to satisfy constraint: {rule}",
            letters.as_str()
        );
        Self::new(400, "ValidationError", message)
    }

    pub(super) fn throttling() -> Self {
        Self::new(400, "Throttling", "Rate exceeded")
    }
}
