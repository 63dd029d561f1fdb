//! Who may read metrics: one choice, and what it allows.

use std::net::SocketAddr;

use clap::ValueEnum;

/// Who may ask for `/metrics` and `/log-level`, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Access {
    /// TLS; whoever holds a token that the API server knows and has the right
    /// to the path.
    Reviewed,
    /// Plain HTTP, and the address has to be a loopback address: for tests and
    /// demonstrations.
    Loopback,
    /// Plain HTTP on any address: everybody reads metrics. The log level is
    /// still only for connections from the pod itself.
    Open,
}

impl Access {
    /// Whether metrics may be served like this on that address.
    ///
    /// # Errors
    /// A sentence that says what to change.
    pub fn check(self, address: SocketAddr) -> Result<(), String> {
        match self {
            Self::Loopback if !address.ip().to_canonical().is_loopback() => Err(format!(
                "--metrics-addr {address} can be reached by others, and --metrics-access loopback \
                 serves everybody who reaches it; use --metrics-access reviewed, or say open if \
                 everybody may read metrics"
            )),
            Self::Reviewed | Self::Loopback | Self::Open => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_serves_plain_metrics_to_others_by_accident() {
        let allowed = |access: Access, address: &str| access.check(address.parse().unwrap());
        for here in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(allowed(Access::Loopback, here), Ok(()), "{here}");
        }
        for everywhere in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            let refusal = allowed(Access::Loopback, everywhere).unwrap_err();
            assert!(refusal.contains("--metrics-access reviewed"), "{refusal}");
            assert_eq!(allowed(Access::Reviewed, everywhere), Ok(()));
            assert_eq!(allowed(Access::Open, everywhere), Ok(()));
        }
    }
}
