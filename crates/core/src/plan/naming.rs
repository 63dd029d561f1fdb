//! Names that are computed, never drawn: a fresh operator finds by arithmetic
//! what an old one made.

use sha2::{Digest, Sha256};

/// Longest part of a namespace or request name inside a user name.
const PART: usize = 16;
/// Characters of hash at the end of a user name: 20 of base 32 are 100 bits.
const HASH: usize = 20;
/// The alphabet of base 32 (RFC 4648), in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// How every user name of ours begins.
const USER_PREFIX: &str = "keylease-";
/// How the name of a cluster's marker begins; see `plan::identity`.
const MARKER_PREFIX: &str = "keylease-cluster-";
/// Tag on a marker that holds its epoch.
pub const TAG_EPOCH: &str = "keylease.dev/epoch";
/// Tag on a marker that holds the last knock of whoever starts.
pub const TAG_KNOCK: &str = "keylease.dev/knock";
/// Tag on a marker by which a cluster that stopped says that it is there.
pub const TAG_CALL: &str = "keylease.dev/call";
/// Tag on a marker that says for how many milliseconds a look is good.
pub const TAG_VALID: &str = "keylease.dev/valid-ms";
/// Tag that holds the cluster id.
pub const TAG_CLUSTER: &str = "keylease.dev/cluster";
/// Tag that holds the request's uid.
pub const TAG_UID: &str = "keylease.dev/uid";
/// Tag that holds the request's namespace.
pub const TAG_NAMESPACE: &str = "keylease.dev/namespace";
/// Tag that holds the request's name.
pub const TAG_REQUEST: &str = "keylease.dev/request";
/// Tag that holds the role's name.
pub const TAG_ROLE: &str = "keylease.dev/role";
/// The name under which we write to the API server, in `managedFields`.
pub const FIELD_MANAGER: &str = "keylease";
/// Name of the inline policy on a user of ours.
pub const INLINE_POLICY: &str = "keylease";

/// Whether Kubernetes has objects of that name: a DNS-1123 subdomain. Any other
/// text in a URL leads somewhere else: `dev/` and `dev?x` to `dev`.
pub fn is_object_name(name: &str) -> bool {
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        ends.iter().all(|end| end.is_some_and(|c| fits(*c)))
            && bytes.iter().all(|c| fits(*c) || *c == b'-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

/// The cluster this operator works for: the uid of its `kube-system`
/// namespace, which no two clusters share and which outlives the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterId(pub String);

/// The IAM user name of a request:
/// `keylease-<namespace≤16>-<request≤16>-<hash of cluster id and uid>`.
///
/// At most 64 characters of `[a-z0-9.-]`, which IAM allows; unique because the
/// hash is, readable because the rest is.
pub fn user_name(cluster: &ClusterId, namespace: &str, request: &str, uid: &str) -> String {
    let digest = Sha256::new()
        .chain_update(cluster.0.as_bytes())
        .chain_update(b"/")
        .chain_update(uid.as_bytes())
        .finalize();
    let cut = |s: &str| s.chars().take(PART).collect::<String>();
    format!(
        "{USER_PREFIX}{}-{}-{}",
        cut(namespace),
        cut(request),
        base32(&digest)
    )
}

/// Whether a name has the form of [`user_name`].
pub fn is_user_name(name: &str) -> bool {
    let hash = name
        .strip_prefix(USER_PREFIX)
        .and_then(|n| n.rsplit('-').next());
    hash.is_some_and(is_hash) && !is_marker_name(name)
}

/// The name of the marker of a cluster's identity: one for each path under which
/// its accounts have their users.
pub fn marker_name(cluster: &ClusterId, account_path: &str) -> String {
    let digest = Sha256::new()
        .chain_update(cluster.0.as_bytes())
        .chain_update(account_path.as_bytes())
        .finalize();
    format!("{MARKER_PREFIX}{}", base32(&digest))
}

/// The name of the cluster's record of that marker: in two AWS accounts the
/// marker has the same name.
pub fn marker_entry(cluster: &ClusterId, account_id: &str, account_path: &str) -> String {
    format!("{account_id}.{}", marker_name(cluster, account_path))
}

/// Whether a name has the form of [`marker_name`], which no user's has: a user's
/// name has a part for the namespace and one for the request.
pub fn is_marker_name(name: &str) -> bool {
    name.strip_prefix(MARKER_PREFIX).is_some_and(is_hash)
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH && text.bytes().all(|b| ALPHABET.contains(&b))
}

/// All names of [`user_name`] in the wildcards of IAM policies, and hardly
/// another: a user that somebody named after us has no hash.
pub fn user_name_pattern() -> String {
    format!("{USER_PREFIX}*-*-{}", "?".repeat(HASH))
}

/// The IAM path of a user: the account's path, the cluster id, then the
/// role's own part. Begins and ends with `/`.
pub fn user_path(account_path: &str, cluster: &ClusterId, role_path: &str) -> String {
    format!("{account_path}{}/{role_path}", cluster.0)
}

/// The lease id, after the manner of Vault's `aws/creds/<role>/<id>`.
pub fn lease_id(role: &str, uid: &str) -> String {
    format!("keylease.dev/creds/{role}/{uid}")
}

/// Lower-case base 32 (RFC 4648 alphabet) of the first 100 bits.
fn base32(bytes: &[u8]) -> String {
    let bit = |i: usize| bytes[i / 8] >> (7 - i % 8) & 1;
    let symbol = |n: usize| (0..5).fold(0, |acc, b| acc << 1 | bit(n * 5 + b));
    (0..HASH)
        .map(|n| char::from(ALPHABET[usize::from(symbol(n))]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(id: &str) -> ClusterId {
        ClusterId(id.to_owned())
    }

    #[test]
    fn base32_follows_the_rfc() {
        // RFC 4648: "foobar" is MZXW6YTBOI.
        assert!(base32(b"foobar-and-more").starts_with("mzxw6ytboi"));
    }

    #[test]
    fn user_names_fit_iam_and_differ_by_cluster_and_uid() {
        let long = "a-very-long-name.with.dots-and-more-than-sixteen";
        let one = user_name(&cluster("c1"), long, long, "u1");
        assert!(one.len() <= 64, "{one}");
        assert!(one.starts_with("keylease-a-very-long-name-a-very-long-name-"));
        assert!(
            one.chars()
                .all(|c| c.is_ascii_alphanumeric() || "+=,.@-_".contains(c))
        );
        assert_ne!(one, user_name(&cluster("c2"), long, long, "u1"));
        assert_ne!(one, user_name(&cluster("c1"), long, long, "u2"));
        assert_eq!(one, user_name(&cluster("c1"), long, long, "u1"));
        assert!(is_user_name(&one));
        for other in ["keylease-operator", "keylease-a-b-", "someone", &one[1..]] {
            assert!(!is_user_name(other), "{other}");
        }
    }

    #[test]
    fn names_of_objects_are_dns_names() {
        for name in ["a", "dev", "1", "a-b", "a.b-c.d", &"a".repeat(253)] {
            assert!(is_object_name(name), "{name}");
        }
        for name in [
            "",
            "dev/",
            "dev//",
            "/dev",
            "dev?x",
            "dev%2d",
            "Dev",
            "dev#",
            "a..b",
            "a.-b",
            "-a",
            "a-",
            ".",
            "..",
            "a.",
            ".a",
            "a b",
            "ä",
            "a\n",
            &"a".repeat(254),
        ] {
            assert!(!is_object_name(name), "{name}");
        }
    }

    #[test]
    fn a_marker_is_no_user() {
        let marker = marker_name(&cluster("c1"), "/keylease/");
        assert!(
            is_marker_name(&marker) && !is_user_name(&marker),
            "{marker}"
        );
        assert_ne!(marker, marker_name(&cluster("c2"), "/keylease/"));
        assert_ne!(marker, marker_name(&cluster("c1"), "/other/"));
        let user = user_name(&cluster("c1"), "cluster", "a", "u1");
        assert!(is_user_name(&user) && !is_marker_name(&user), "{user}");
    }

    #[test]
    fn paths_nest() {
        assert_eq!(user_path("/keylease/", &cluster("c"), ""), "/keylease/c/");
        assert_eq!(user_path("/", &cluster("c"), "team/"), "/c/team/");
    }
}
