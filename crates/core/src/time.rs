//! Times that more than one decision is built on.

use std::time::Duration;

/// How long one call to AWS may take. IAM's writes take tens to hundreds of
/// milliseconds; past this the answer counts as lost.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
