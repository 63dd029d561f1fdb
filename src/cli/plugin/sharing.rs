//! The flags by which processes share one request.

use jiff::SignedDuration;

use super::claim::Order;
use super::error::Failure;
use super::{fresh, when};
use keylease_api::{GoDuration, format_duration};

/// Name and sharing of the request.
#[derive(clap::Args)]
pub(super) struct Sharing {
    /// Name of the request. Default: the role's name and a random end.
    #[arg(long)]
    name: Option<String>,

    /// Share the request of that name, whatever its ttl, and make it if it is
    /// not there; one whose lease is over is replaced. Any number of calls may
    /// do so at a time: they get the same key.
    #[arg(long, requires = "name")]
    reuse: bool,

    /// How long a shared lease is to last yet when it is handed out; half its
    /// length is enough for a short one. One that does not is renewed, given a
    /// new key, or replaced. Default: 5m.
    #[arg(long, value_name = "TIME", requires = "reuse", value_parser = when::parse_left)]
    min_left: Option<SignedDuration>,
}

impl Sharing {
    /// What is ordered from this role.
    pub fn order(self, role: String, ttl: Option<GoDuration>) -> Result<Order, Failure> {
        let Self {
            name,
            reuse,
            min_left,
        } = self;
        let length = ttl.as_ref().and_then(|t| t.get().ok());
        if let (Some(least), Some(length)) = (min_left, length)
            && least >= length
        {
            return Err(Failure::usage(format!(
                "--min-left {} is not less than --ttl {}: no lease would do",
                format_duration(least),
                format_duration(length)
            )));
        }
        Ok(Order {
            role,
            name,
            reuse,
            ttl,
            min_left: min_left.unwrap_or(fresh::MIN_LEFT),
        })
    }
}
