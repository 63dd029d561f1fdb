//! Failures: one sentence that says what to change, and an exit code.

use kube::runtime::watcher;

/// Why a command ends without having done its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The sentence for the person, without a full stop.
    pub sentence: String,
    /// The exit code: 1 failed, 2 used wrongly, 3 asked for and not done yet,
    /// 128+n ended by signal n.
    pub code: u8,
}

impl Failure {
    /// The work failed.
    pub fn new(sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        Self { sentence, code: 1 }
    }

    /// The command was used wrongly.
    pub fn usage(sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        Self { sentence, code: 2 }
    }

    /// It was asked for, and was not done or not heard of in time.
    pub fn pending(sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        Self { sentence, code: 3 }
    }

    /// A signal ended it, as shells count: 130 for Ctrl-C.
    pub fn interrupted(signal: i32) -> Self {
        Self {
            sentence: "interrupted".to_owned(),
            code: signal_code(signal),
        }
    }

    /// All of these in one: what failed weighs more than what is only pending.
    pub fn all(failures: Vec<Self>) -> Result<(), Self> {
        let Some(code) = failures.iter().map(|f| f.code).min() else {
            return Ok(());
        };
        let sentences: Vec<_> = failures.into_iter().map(|f| f.sentence).collect();
        let sentence = sentences.join("; ");
        Err(Self { sentence, code })
    }

    /// The same failure with something to add.
    pub fn and(mut self, more: &str) -> Self {
        self.sentence = format!("{}; {more}", self.sentence);
        self
    }
}

/// The exit code of a process that a signal ended.
pub(super) fn signal_code(signal: i32) -> u8 {
    u8::try_from(128_i32.saturating_add(signal)).unwrap_or(u8::MAX)
}

/// One call of the API server, in the words of RBAC, so that a refusal can say
/// which right is missing.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// The verb of RBAC, such as `create`.
    pub verb: &'static str,
    /// The resource with its group, such as `awsroles.keylease.dev`.
    pub resource: &'static str,
    /// The namespace, for what is namespaced.
    pub namespace: Option<&'a str>,
    /// The object, where the call is about one.
    pub name: &'a str,
}

impl Call<'_> {
    fn place(&self) -> String {
        self.namespace
            .map_or_else(|| "the cluster".to_owned(), |n| format!("namespace {n}"))
    }

    /// The failure that this answer of the API server is.
    pub fn failed(&self, error: &kube::Error) -> Failure {
        Failure::new(self.sentence(error))
    }

    /// The same for a watch.
    pub fn watch_failed(&self, error: &watcher::Error) -> Failure {
        use watcher::Error as E;
        match error {
            E::InitialListFailed(e) => Call {
                verb: "list",
                ..*self
            }
            .failed(e),
            E::WatchStartFailed(e) | E::WatchFailed(e) => Call {
                verb: "watch",
                ..*self
            }
            .failed(e),
            other => Failure::new(format!("cannot watch {}: {other}", self.resource)),
        }
    }

    fn sentence(&self, error: &kube::Error) -> String {
        let Self {
            verb,
            resource,
            name,
            ..
        } = *self;
        let place = self.place();
        let kube::Error::Api(status) = error else {
            return match error {
                kube::Error::SerdeError(e) => {
                    format!(
                        "cannot read {resource} {name}: {e}; is this plugin of the operator's version?"
                    )
                }
                other => format!("cannot reach the API server: {}", chain(other)),
            };
        };
        let message = status.message.trim();
        match status.code {
            401 => refused_sign_in(std::env::var_os("AWS_ACCESS_KEY_ID").is_some()),
            // An admission plugin answers 403 as well, in other words.
            403 if message.contains(&format!("cannot {verb} resource")) => format!(
                "you have no right to {verb} {resource} in {place}; ask for a role with the verb \
                 {verb} on {resource} there"
            ),
            404 if message.contains("page not found")
                || message.contains("could not find the requested resource") =>
            {
                format!(
                    "the cluster does not know {resource}; install Keylease first, or choose another --context"
                )
            }
            404 if name.is_empty() => format!("there is no {resource} in {place}"),
            404 => format!("there is no {resource} named {name} in {place}"),
            _ => message.to_owned(),
        }
    }
}

/// What to do about a sign-in that the API server does not accept.
fn refused_sign_in(own_key: bool) -> String {
    let advice = match own_key {
        true => {
            "AWS_ACCESS_KEY_ID is set, and aws eks get-token takes it before the profile: unset \
             it, or give the kubeconfig's args a --profile"
        }
        false => "sign in again, or choose another --context",
    };
    format!("the API server does not accept your sign-in; {advice}")
}

/// An error with its causes, which HTTP libraries keep to themselves.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    const CALL: Call<'static> = Call {
        verb: "create",
        resource: "awscredentialrequests.keylease.dev",
        namespace: Some("team-a"),
        name: "x",
    };

    fn answer(code: u16, message: &str) -> String {
        let status = Status::failure(message, "").with_code(code);
        CALL.failed(&kube::Error::Api(status.boxed())).sentence
    }

    #[test]
    fn a_missing_right_is_named() {
        let said = answer(
            403,
            "awscredentialrequests.keylease.dev is forbidden: User \"u\" cannot create resource \
             \"awscredentialrequests\" in API group \"keylease.dev\" in the namespace \"team-a\"",
        );
        assert_eq!(
            said,
            "you have no right to create awscredentialrequests.keylease.dev in namespace team-a; \
             ask for a role with the verb create on awscredentialrequests.keylease.dev there"
        );
    }

    #[test]
    fn what_is_no_matter_of_rights_is_told_as_it_came() {
        assert_eq!(answer(403, "exceeded quota: q"), "exceeded quota: q");
        assert!(answer(404, "404 page not found\n").contains("install Keylease"));
        assert_eq!(
            answer(404, "awscredentialrequests.keylease.dev \"x\" not found"),
            "there is no awscredentialrequests.keylease.dev named x in namespace team-a"
        );
    }

    #[test]
    fn a_key_in_the_environment_is_named_where_it_may_be_the_cause() {
        assert!(refused_sign_in(true).contains("unset it, or give the kubeconfig's args"));
        assert!(refused_sign_in(false).ends_with("choose another --context"));
    }

    #[test]
    fn signals_count_as_in_a_shell() {
        assert_eq!(Failure::interrupted(2).code, 130);
        assert_eq!(signal_code(500), 255);
    }
}
