//! The NetworkPolicy that is shipped lets through what the operator needs on
//! IPv4 and on IPv6 clusters, and names on OpenShift.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyEgressRule};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

const SHIPPED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/deploy/operator/network.yaml"
));

/// The rules for what the operator calls.
fn egress() -> Vec<NetworkPolicyEgressRule> {
    let mut documents = SHIPPED.split("\n---\n");
    let text = documents.find(|text| text.contains("kind: NetworkPolicy"));
    let text = text.unwrap();
    let policy: NetworkPolicy = serde_saphyr::from_str(text).unwrap();
    policy.spec.unwrap().egress.unwrap()
}

/// `protocol/port` of a rule.
fn ports(rule: &NetworkPolicyEgressRule) -> BTreeSet<String> {
    let ports = rule.ports.iter().flatten();
    let text = ports.map(|p| match (&p.protocol, &p.port) {
        (Some(protocol), Some(IntOrString::Int(port))) => format!("{protocol}/{port}"),
        other => panic!("{other:?}"),
    });
    text.collect()
}

#[test]
fn the_agents_that_hand_out_credentials_are_reached_over_both_families() {
    let rules = egress();
    let http = rules.iter().find(|r| ports(r).contains("TCP/80")).unwrap();
    let blocks = http.to.iter().flatten().map(|peer| {
        let block = peer.ip_block.as_ref().unwrap();
        block.cidr.as_str()
    });
    let blocks: BTreeSet<_> = blocks.collect();
    let pod_identity = ["169.254.170.23/32", "fd00:ec2::23/128"];
    let instance_roles = ["169.254.169.254/32", "fd00:ec2::254/128"];
    let wanted: BTreeSet<_> = pod_identity.into_iter().chain(instance_roles).collect();
    assert_eq!(blocks, wanted);
}

#[test]
fn names_are_asked_for_where_the_dns_pods_of_openshift_listen_too() {
    let rules = egress();
    let dns = rules.iter().find(|r| ports(r).contains("UDP/53")).unwrap();
    assert!(dns.to.is_none(), "DNS may be anywhere");
    let wanted = ["TCP/53", "TCP/5353", "UDP/53", "UDP/5353"].map(str::to_owned);
    assert_eq!(ports(dns), BTreeSet::from(wanted));
}
