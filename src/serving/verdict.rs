//! May the holder of this token do this? A pure function of what the API
//! server said.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, header};
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};
use k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus;
use sha2::{Digest, Sha256};

/// SHA-256 of a token: what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of this token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Deed {
    /// The verb, as RBAC names it for URLs: the method in small letters.
    pub verb: &'static str,
    /// The path of the URL.
    pub path: String,
}

impl Deed {
    /// That of a request; `None` for a method that nothing here answers.
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        let verb = match method.as_str() {
            "GET" => "get",
            "HEAD" => "head",
            "PUT" => "put",
            _ => return None,
        };
        let path = path.to_owned();
        Some(Self { verb, path })
    }
}

/// What is known so far.
#[derive(Debug, Default)]
pub struct Facts {
    /// Whether a token came with the request.
    pub token: bool,
    /// What was decided on the same question not long ago.
    pub remembered: Option<Verdict>,
    /// The API server's answer to whose token it is.
    pub identity: Option<TokenReviewStatus>,
    /// The API server's answer to whether that user may.
    pub right: Option<SubjectAccessReviewStatus>,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Ask the API server whose token it is.
    Authenticate,
    /// Ask the API server whether this user may.
    Authorize(UserInfo),
    /// It is decided.
    Answer(Verdict),
}

/// How it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This user may.
    Allowed(Arc<str>),
    /// No token, or none that the API server knows.
    Unauthenticated,
    /// This user may not.
    Forbidden(Arc<str>),
}

/// Decides. Nothing is allowed but on two answers of the API server that say so,
/// now or not long ago; an answer that leaves something out is a no.
pub fn next(facts: &Facts) -> Step {
    if !facts.token {
        return Step::Answer(Verdict::Unauthenticated);
    }
    if let Some(verdict) = &facts.remembered {
        return Step::Answer(verdict.clone());
    }
    let Some(identity) = &facts.identity else {
        return Step::Authenticate;
    };
    let known = identity.authenticated == Some(true);
    let user = identity.user.as_ref().filter(|_| known);
    let name = user.and_then(|u| u.username.as_deref());
    let (Some(user), Some(name)) = (user, name.filter(|n| !n.is_empty())) else {
        return Step::Answer(Verdict::Unauthenticated);
    };
    let name = || Arc::from(name);
    match &facts.right {
        None => Step::Authorize(user.clone()),
        Some(right) if right.allowed && right.denied != Some(true) => {
            Step::Answer(Verdict::Allowed(name()))
        }
        Some(_) => Step::Answer(Verdict::Forbidden(name())),
    }
}

/// The token of `Authorization: Bearer …`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(authenticated: Option<bool>, name: &str) -> Option<TokenReviewStatus> {
        Some(TokenReviewStatus {
            authenticated,
            user: Some(UserInfo {
                username: Some(name.to_owned()),
                ..UserInfo::default()
            }),
            ..TokenReviewStatus::default()
        })
    }

    fn right(allowed: bool, denied: Option<bool>) -> Option<SubjectAccessReviewStatus> {
        Some(SubjectAccessReviewStatus {
            allowed,
            denied,
            ..SubjectAccessReviewStatus::default()
        })
    }

    fn with_token() -> Facts {
        Facts {
            token: true,
            ..Facts::default()
        }
    }

    #[test]
    fn asks_who_then_whether_then_decides() {
        let mut facts = with_token();
        assert_eq!(next(&facts), Step::Authenticate);
        facts.identity = identity(Some(true), "prometheus");
        let Step::Authorize(user) = next(&facts) else {
            panic!("{:?}", next(&facts));
        };
        assert_eq!(user.username.as_deref(), Some("prometheus"));
        facts.right = right(true, None);
        let allowed = Verdict::Allowed("prometheus".into());
        assert_eq!(next(&facts), Step::Answer(allowed));
    }

    #[test]
    fn whoever_shows_nothing_is_asked_nothing() {
        // Even if somebody else's answer lay about.
        let facts = Facts {
            remembered: Some(Verdict::Allowed("prometheus".into())),
            ..Facts::default()
        };
        assert_eq!(next(&facts), Step::Answer(Verdict::Unauthenticated));
    }

    #[test]
    fn an_answer_that_leaves_something_out_is_a_no() {
        let nobodies = [
            Some(TokenReviewStatus::default()),
            identity(None, "prometheus"),
            identity(Some(false), "prometheus"),
            identity(Some(true), ""),
            Some(TokenReviewStatus {
                authenticated: Some(true),
                ..TokenReviewStatus::default()
            }),
        ];
        for identity in nobodies {
            let facts = Facts {
                identity,
                right: right(true, None),
                ..with_token()
            };
            let seen = next(&facts);
            assert_eq!(seen, Step::Answer(Verdict::Unauthenticated), "{facts:?}");
        }
        for right in [right(false, None), right(true, Some(true))] {
            let facts = Facts {
                identity: identity(Some(true), "web"),
                right,
                ..with_token()
            };
            let forbidden = Verdict::Forbidden("web".into());
            assert_eq!(next(&facts), Step::Answer(forbidden));
        }
    }

    #[test]
    fn what_was_decided_before_is_not_asked_again() {
        for verdict in [
            Verdict::Allowed("prometheus".into()),
            Verdict::Unauthenticated,
            Verdict::Forbidden("web".into()),
        ] {
            let facts = Facts {
                remembered: Some(verdict.clone()),
                ..with_token()
            };
            assert_eq!(next(&facts), Step::Answer(verdict));
        }
    }

    #[test]
    fn a_token_is_what_follows_bearer() {
        let seen = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(bearer(&HeaderMap::new()), None);
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic abc", None),
            ("Bearerabc", None),
        ] {
            assert_eq!(seen(value).as_deref(), token, "{value:?}");
        }
    }

    #[test]
    fn verbs_are_those_of_rbac() {
        let verb = |method: Method| Deed::of(&method, "/log-level").map(|d| d.verb);
        assert_eq!(verb(Method::GET), Some("get"));
        assert_eq!(verb(Method::HEAD), Some("head"));
        assert_eq!(verb(Method::PUT), Some("put"));
        assert_eq!(verb(Method::DELETE), None);
    }
}
