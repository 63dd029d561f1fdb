//! IAM and STS: one function per effect, each one call with a timeout and a
//! counter. Nothing here decides; the outcome goes back to `plan`.

mod broken_link;
mod budget;
mod call;
mod chain;
mod credential_report;
mod error;
mod gate;
mod groups;
pub mod http;
mod inventory;
mod keys;
mod leading;
mod marker;
mod registry;
mod root_keys;
pub mod roots;
mod sessions;
mod sign_in;
mod standing;
mod teardown;
mod tenure;
mod users;

pub use call::Calls;
pub use registry::{Accounts, IdentityKey};
pub use sign_in::{Credentials, Session, Signer};
pub use tenure::{NotHeld, Tenure};
