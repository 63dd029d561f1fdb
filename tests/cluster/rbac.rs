//! The rights in the chart, and in `deploy/` which is made of it, are enough:
//! the operator runs as its service account, installed as its users install it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use keylease_testbed::operator::NAMESPACE;
use keylease_testbed::{ControlPlane, FakeAws, FakeConfig, Https, Operator, http};
use serde_json::json;

use crate::chart::install;
use crate::harness::{KEYLEASE, LATER, Namespace, SOON, Story, caller_of, client_of};

/// `kubectl apply -k deploy/`, and the whole main road with no more rights than
/// these, under the admission policies.
#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_are_shipped_are_enough() -> Story {
    let cluster = ControlPlane::start().await?;
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
    cluster.kubectl(&["apply", "-k", deploy]).await?;
    let namespace = Namespace::create(client_of(cluster.kubeconfig()).await?, "rbac").await?;
    main_road(&cluster, &namespace, &[]).await
}

/// The chart with a list of namespaces: there everything works, elsewhere
/// nothing is done, and no Secret can be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_namespaces_needs_no_right_on_the_secrets_of_others() -> Story {
    let cluster = ControlPlane::start().await?;
    let client = client_of(cluster.kubeconfig()).await?;
    let namespace = Namespace::create(client.clone(), "rbac").await?;
    let other = Namespace::create(client, "other").await?;
    install(&cluster, &["--set=watchNamespaces={rbac}"]).await?;
    let established = ["wait", "--for=condition=Established", "crd", "--all"];
    cluster.kubectl(&established).await?;
    other.role(json!({})).await?;
    other.request("unseen", json!({})).await?;

    // A namespace of the list that is no more does not stop the others.
    let listed = [("KEYLEASE_WATCH_NAMESPACES", "rbac,deleted")];
    main_road(&cluster, &namespace, &listed).await?;

    let unseen = other.requests().get("unseen").await?;
    assert_eq!(unseen.status, None);
    let operator = format!("--as=system:serviceaccount:{NAMESPACE}:keylease");
    for verb in ["get", "list", "create", "delete"] {
        for elsewhere in ["--namespace=other", "--all-namespaces"] {
            let question = ["auth", "can-i", verb, "secrets", elsewhere, &operator];
            // kubectl says no with its exit code, too.
            let answer = cluster.kubectl(&question).await;
            assert!(answer.is_err(), "{verb} {elsewhere}: {answer:?}");
        }
    }
    Ok(())
}

/// Issues, expires, makes again and deletes, as the service account that was
/// installed.
async fn main_road(cluster: &ControlPlane, namespace: &Namespace, env: &[(&str, &str)]) -> Story {
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd",
        "--all",
    ];
    cluster.kubectl(&established).await?;
    cluster.restart_controller_manager()?;
    let identity = cluster
        .service_account_kubeconfig(NAMESPACE, "keylease")
        .await?;

    let aws = FakeAws::start(FakeConfig::default())?;
    let bin = Path::new(KEYLEASE);
    let as_shipped = [
        ("KEYLEASE_LEADER_ELECT", "true"),
        ("KEYLEASE_METRICS_ACCESS", "reviewed"),
    ];
    let elected = [&as_shipped, env].concat();
    let mut operator = Operator::start(bin, &identity, &aws.endpoint(), &elected, &[])?;
    namespace.account("default", json!({})).await?;
    operator.wait_ready(SOON).await?;

    // A selector needs the namespace's labels, a Secret the operator's own.
    let root = "apiVersion: v1\nkind: Secret\nmetadata: {name: root, namespace: keylease-system}\n\
        stringData: {AWS_ACCESS_KEY_ID: AKIAIOSFODNN7EXAMPLE, \
        AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY}";
    cluster.kubectl_apply(root).await?;
    namespace
        .account(
            "by-secret",
            json!({"credentials": {"secretRef": {"name": "root"}}}),
        )
        .await?;
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": "rbac"}});
    namespace
        .role(json!({
            "accountRef": {"name": "by-secret"},
            "allowedNamespaces": {"names": [], "selector": selector},
        }))
        .await?;
    for (name, ttl) in [("short", "10s"), ("long", "1h"), ("lost", "1h")] {
        namespace.request(name, json!({"ttl": ttl})).await?;
    }
    namespace
        .request("roleless", json!({"roleRef": {"name": "none"}}))
        .await?;
    namespace.refused("roleless", "RoleNotFound").await?;
    for name in ["short", "long", "lost"] {
        namespace.ready(name).await?;
    }
    let secret = namespace
        .secret("long")
        .await?
        .ok_or_else(|| anyhow::anyhow!("no Secret"))?;
    caller_of(&secret, &aws.endpoint()).await?;
    // Taken back, replaced, deleted: the paths that need other rights.
    namespace
        .secrets()
        .delete("lost", &Default::default())
        .await?;
    let remade = |r: &keylease::api::AwsCredentialRequest| {
        let seen = r.status.as_ref().and_then(|s| s.credential.as_ref());
        seen.is_some_and(|c| {
            aws.user(c.user_name.as_deref().unwrap_or_default())
                .is_some_and(|u| u.keys[0].id == c.access_key_id)
        })
    };
    keylease_testbed::wait::until("the Secret's return", LATER, || async {
        namespace.secret("lost").await.ok().flatten()
    })
    .await?;
    namespace.until("made again", "lost", LATER, remade).await?;
    namespace.expired("short").await?;
    for name in ["long", "lost", "short", "roleless"] {
        namespace.delete(name).await?;
        namespace.gone(name).await?;
    }
    assert!(aws.users_under("/keylease/").is_empty());
    let events = namespace.events("long").await?;
    assert!(
        events.iter().any(|(_, reason)| reason == "Issued"),
        "{events:?}"
    );

    let metrics = scrape(cluster, &operator).await?;
    assert!(metrics.contains("create_event"), "{metrics}");
    assert!(metrics.contains("keylease_leader 1"), "{metrics}");
    let denied: Vec<&str> = metrics
        .lines()
        .filter(|l| l.contains("kubernetes") && l.contains("access_denied"))
        .collect();
    assert!(denied.is_empty(), "{denied:?}");
    let log = operator.log_text();
    let forbidden: Vec<_> = log
        .lines()
        .filter(|line| line.contains("forbidden") && !line.contains("namespace \\\"deleted\\\""))
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    let alive = http::get(operator.http_addr(), "/healthz").await?;
    assert_eq!(alive.status, 200);
    operator.terminate()?;
    operator.wait_exit(Duration::from_secs(15)).await?;
    let holder = ["get", "lease", "keylease", "-n", NAMESPACE, "-o"];
    let holder = [&holder[..], &["jsonpath={.spec.holderIdentity}"]].concat();
    assert_eq!(cluster.kubectl(&holder).await?, "", "not given up");
    Ok(())
}

/// The text of `/metrics`, read with the role that is shipped for it.
async fn scrape(cluster: &ControlPlane, operator: &Operator) -> Result<String> {
    cluster
        .kubectl(&["create", "serviceaccount", "prometheus"])
        .await?;
    let bind = ["create", "clusterrolebinding", "prometheus"];
    let role = "--clusterrole=keylease-metrics-reader";
    let bind = [&bind[..], &[role, "--serviceaccount=default:prometheus"]].concat();
    cluster.kubectl(&bind).await?;
    let token = cluster
        .service_account_token("default", "prometheus")
        .await?;
    let https = Https::trusting_anybody(operator.metrics_addr())?;
    let answer = https.get("/metrics", Some(&token)).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.body)
}

/// The examples that people copy are taken by the API server, field by field.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_valid() -> Story {
    let bed = crate::harness::Bed::shared().await?;
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(examples)? {
        let text = std::fs::read_to_string(entry?.path())?;
        let args = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        bed.cluster.kubectl_stdin(&args, &text).await?;
        seen += 1;
    }
    assert!(seen > 0, "there are no examples");
    Ok(())
}
