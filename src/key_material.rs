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

    /// The text with the secret blotted out, for error messages that came from
    /// a server which saw it.
    pub fn redact(&self, text: &str) -> String {
        let text = text.replace(self.secret.as_str(), "[redacted]");
        match &self.session_token {
            Some(token) => text.replace(token.as_str(), "[redacted]"),
            None => text,
        }
    }
}
