//! How long a lease may live: the system's bounds, the role's, the request's.

use jiff::SignedDuration;

use super::reasons::{Reason, Verdict};
use keylease_api::{AwsCredentialRequest, AwsRole, GoDuration, format_duration};

/// The bounds that a credential type sets.
struct Bounds {
    min: SignedDuration,
    max: SignedDuration,
    /// What a role that names no default gets, if its maximum allows.
    default: SignedDuration,
}

/// 768h, as in Vault: the maximum and the default for IAM users.
const USERS: Bounds = Bounds {
    min: SignedDuration::from_secs(1),
    max: SignedDuration::from_hours(768),
    default: SignedDuration::from_hours(768),
};
/// `AssumeRole` takes 900 s to 12 h (STS API reference, DurationSeconds).
const ASSUMED_ROLES: Bounds = Bounds {
    min: SignedDuration::from_mins(15),
    max: SignedDuration::from_hours(12),
    default: SignedDuration::from_hours(1),
};
/// `GetFederationToken` and `GetSessionToken` take 900 s to 36 h (same place).
const TOKENS: Bounds = Bounds {
    min: SignedDuration::from_mins(15),
    max: SignedDuration::from_hours(36),
    default: SignedDuration::from_hours(1),
};

/// Length of the period where a role names none.
const ROTATION_PERIOD: SignedDuration = SignedDuration::from_hours(24);

/// How long a key of this role lives, for static users.
pub fn rotation_period(role: &AwsRole) -> Option<SignedDuration> {
    let named = role.spec.static_user.as_ref()?.rotation_period.as_ref();
    let named = named.map(GoDuration::get).and_then(Result::ok);
    Some(named.unwrap_or(ROTATION_PERIOD))
}

/// Default and maximum of a lease, after all bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttls {
    /// The length of a lease whose request names none; or, from
    /// [`of_request`], the length of this one.
    pub ttl: SignedDuration,
    /// The longest length.
    pub max: SignedDuration,
}

fn bounds(role: &AwsRole) -> Bounds {
    if role.spec.assumed_role.is_some() {
        ASSUMED_ROLES
    } else if role.spec.federation_token.is_some() || role.spec.session_token.is_some() {
        TOKENS
    } else {
        USERS
    }
}

/// The role's default and maximum.
///
/// # Errors
/// A verdict that names the field.
pub fn of_role(role: &AwsRole) -> Result<Ttls, Verdict> {
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let bounds = bounds(role);
    let ttl = role.spec.ttl.clone().unwrap_or_default();
    let invalid = |message: String| Verdict::new(Reason::RoleInvalid, message);
    let read = |field: &str, value: Option<GoDuration>| -> Result<Option<_>, Verdict> {
        let Some(value) = value else { return Ok(None) };
        let ttl = value
            .get()
            .map_err(|e| invalid(format!("role {name}: ttl.{field}: {e}")))?;
        if (bounds.min..=bounds.max).contains(&ttl) {
            return Ok(Some(ttl));
        }
        Err(invalid(format!(
            "role {name}: ttl.{field} must lie between {} and {} for this credential type",
            format_duration(bounds.min),
            format_duration(bounds.max)
        )))
    };
    let max = read("max", ttl.max)?.unwrap_or(bounds.max);
    let default = read("default", ttl.default)?.unwrap_or(max.min(bounds.default));
    if default > max {
        let message = format!("role {name}: ttl.default must not be longer than ttl.max");
        return Err(invalid(message));
    }
    Ok(Ttls { ttl: default, max })
}

/// The request's own length, within what the role allows.
///
/// # Errors
/// A verdict that names both lengths.
pub fn of_request(request: &AwsCredentialRequest, role: &AwsRole) -> Result<Ttls, Verdict> {
    let of_role = of_role(role)?;
    let Some(wanted) = &request.spec.ttl else {
        return Ok(of_role);
    };
    let invalid = |message: String| Verdict::new(Reason::InvalidRequest, message);
    let ttl = wanted
        .get()
        .map_err(|e| invalid(format!("spec.ttl: {e}")))?;
    let min = bounds(role).min;
    if ttl < min {
        return Err(invalid(format!(
            "spec.ttl {} is shorter than {}, the least that AWS gives for this credential type; \
             ask for more",
            wanted.0,
            format_duration(min)
        )));
    }
    if ttl > of_role.max {
        let max = format_duration(of_role.max);
        return Err(Verdict::new(
            Reason::TtlAboveMaximum,
            format!(
                "spec.ttl {} is longer than the maximum {max} of role {}; ask for {max} or less",
                wanted.0,
                role.metadata.name.as_deref().unwrap_or_default(),
            ),
        ));
    }
    Ok(Ttls {
        ttl,
        max: of_role.max,
    })
}

/// How long an old key lives on after a rotation: what the request says, else
/// ten minutes or a third of the lease.
///
/// # Errors
/// A verdict when it is longer than half of the lease.
pub fn overlap(
    request: &AwsCredentialRequest,
    ttl: SignedDuration,
) -> Result<SignedDuration, Verdict> {
    let named = request.spec.rotation.as_ref();
    let Some(named) = named.and_then(|r| r.overlap.as_ref()) else {
        return Ok(SignedDuration::from_mins(10).min(ttl / 3));
    };
    let invalid = |message: String| Verdict::new(Reason::InvalidRequest, message);
    let overlap = named
        .get()
        .map_err(|e| invalid(format!("spec.rotation.overlap: {e}")))?;
    if overlap > ttl / 2 || overlap.is_negative() {
        return Err(invalid(format!(
            "spec.rotation.overlap {} is longer than half of the lease of {}; shorten it",
            named.0,
            format_duration(ttl)
        )));
    }
    Ok(overlap)
}
