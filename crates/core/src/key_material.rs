//! The one type that holds a secret access key.

use zeroize::Zeroizing;

/// An access key as AWS hands it out, once.
///
/// There is no `Debug`, `Display`, `Serialize` or `Clone`: the compiler
/// refuses the log line that would leak it. The secret part is wiped from
/// memory on drop. (What the HTTP libraries keep in their buffers while a call
/// is under way is theirs and is not wiped.)
pub struct KeyMaterial {
    id: String,
    secret: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
}

impl KeyMaterial {
    /// Takes over a key. The secret is moved, not copied.
    pub fn new(id: String, secret: String, session_token: Option<String>) -> Self {
        Self {
            id,
            secret: Zeroizing::new(secret),
            session_token: session_token.map(Zeroizing::new),
        }
    }

    /// Whether nothing of it is missing. The SDK puts an empty text where an
    /// answer leaves out what it has to have.
    pub fn is_whole(&self) -> bool {
        let token = self.session_token().is_none_or(|t| !t.is_empty());
        token && !self.id.is_empty() && !self.secret.is_empty()
    }

    /// The access key id, which is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret itself. Two callers exist: the renderer of the Secret and
    /// the signer of the proof.
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// The session token, which is as secret as the key.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_ref().map(|t| t.as_str())
    }

    /// An error message of a server that saw the secret, fit to be told: every
    /// long run of the characters that keys, tokens and their base 64 are made
    /// of is blotted out, in whatever form it quotes them.
    pub fn redact(&self, text: &str) -> String {
        let coded = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
        let mut told = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(coded) {
            let end = rest[start..]
                .find(|c| !coded(c))
                .map_or(rest.len(), |n| start + n);
            told.push_str(&rest[..start]);
            let run = &rest[start..end];
            told.push_str(if run.len() < LONGEST_WORD {
                run
            } else {
                "[redacted]"
            });
            rest = &rest[end..];
        }
        told.push_str(rest);
        told.replace(self.secret.as_str(), "[redacted]")
    }
}

/// Runs from this length on are no words. A secret access key has 40
/// characters; half of one is told nowhere either.
const LONGEST_WORD: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_secret_is_blotted_out_in_any_form() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let key = KeyMaterial::new("AKIA".into(), secret.into(), None);
        let coded = "d0phbHJYVXRuRkVNSS9LN01ERU5HL2JQeFJmaUNZRVhBTVBMRUtFWQ==";
        let told = key.redact(&format!(
            "denied: {secret} and \"{coded}\", quota of 5 secrets"
        ));
        assert_eq!(
            told,
            "denied: [redacted] and \"[redacted]\", quota of 5 secrets"
        );
    }
}
