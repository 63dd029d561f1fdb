//! The rights in the chart, and in `deploy/` which is made of it, are enough:
//! the operator runs as its service account, installed as its users install it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use keylease_testbed::operator::NAMESPACE;
use keylease_testbed::{ControlPlane, FakeAws, FakeConfig, Https, Operator, http};
use serde_json::json;

use crate::chart::install;
use crate::harness::{Begin, KEYLEASE, LATER, Namespace, SOON, Story, begin, caller_of, client_of};

/// `kubectl apply -k deploy/`, and the whole main road with no more rights than
/// these, under the admission policies.
#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_are_shipped_are_enough() -> Story {
    let cluster = begin(Begin::Empty).await?;
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
    cluster.kubectl(&["apply", "-k", deploy]).await?;
    let namespace = Namespace::create(client_of(cluster.kubeconfig()).await?, "rbac").await?;
    main_road(&cluster, &namespace, &[]).await
}

/// The chart with a list of namespaces: there everything works, elsewhere
/// nothing is done, and no Secret can be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_namespaces_needs_no_right_on_the_secrets_of_others() -> Story {
    let cluster = begin(Begin::Empty).await?;
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
    assert_eq!(unseen.status.and_then(|s| s.phase), None);
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

/// The kubeconfig of the service account that was installed, when its kinds are
/// there.
async fn installed(cluster: &ControlPlane) -> anyhow::Result<PathBuf> {
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd",
        "--all",
    ];
    cluster.kubectl(&established).await?;
    cluster.restart_controller_manager()?;
    cluster
        .service_account_kubeconfig(NAMESPACE, "keylease")
        .await
}

/// Issues, expires, makes again and deletes, as the service account that was
/// installed.
async fn main_road(cluster: &ControlPlane, namespace: &Namespace, env: &[(&str, &str)]) -> Story {
    let identity = installed(cluster).await?;

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
    let remade = |r: &keylease_api::AwsCredentialRequest| {
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

/// What goes before the namespace is deleted, as the namespace controller may
/// have it: it deletes kinds in no order that it promises.
#[derive(Clone, Copy, Debug)]
enum First {
    Nothing,
    RoleBinding,
    Secret,
    Request,
}

/// A listed namespace is deleted with a live lease in it: our rights there go
/// with the RoleBinding, in whatever order. Neither namespace nor user stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_listed_namespace_that_is_deleted_leaves_nothing_behind() -> Story {
    let cluster = begin(Begin::Empty).await?;
    let client = client_of(cluster.kubeconfig()).await?;
    let orders = [
        First::Nothing,
        First::RoleBinding,
        First::Secret,
        First::Request,
    ];
    let mut namespaces = Vec::new();
    for order in orders {
        let name = format!("goes-{}", format!("{order:?}").to_lowercase());
        namespaces.push((order, Namespace::create(client.clone(), &name).await?));
    }
    let names: Vec<_> = namespaces.iter().map(|(_, n)| n.name.as_str()).collect();
    let names = names.join(",");
    install(&cluster, &[&format!("--set=watchNamespaces={{{names}}}")]).await?;
    let identity = installed(&cluster).await?;
    let aws = FakeAws::start(FakeConfig::default())?;
    let env = [
        ("KEYLEASE_WATCH_NAMESPACES", names.as_str()),
        ("KEYLEASE_LEADER_ELECT", "true"),
    ];
    let bin = Path::new(KEYLEASE);
    let mut operator = Operator::start(bin, &identity, &aws.endpoint(), &env, &[])?;
    namespaces[0].1.account("default", json!({})).await?;
    operator.wait_ready(SOON).await?;
    for (_, namespace) in &namespaces {
        namespace.role(json!({})).await?;
        namespace.request("app", json!({})).await?;
    }
    for (_, namespace) in &namespaces {
        namespace.ready("app").await?;
    }

    // Nobody removes a thing before our rights are gone.
    aws.set_down(true);
    for (order, namespace) in &namespaces {
        let take = |what: &'static [&'static str]| {
            let args = [&["delete", "--wait=false", "-n", &namespace.name], what].concat();
            let cluster = &cluster;
            async move { cluster.kubectl(&args).await }
        };
        match order {
            First::Nothing => {}
            First::RoleBinding => drop(take(&["rolebinding", "keylease-requests"]).await?),
            First::Secret => {
                take(&["rolebinding", "keylease-requests"]).await?;
                take(&["secret", "app"]).await?;
            }
            First::Request => {
                take(&["awscredentialrequest", "app"]).await?;
                take(&["rolebinding", "keylease-requests"]).await?;
            }
        }
        let delete = ["delete", "namespace", "--wait=false", &namespace.name];
        cluster.kubectl(&delete).await?;
    }
    for (_, namespace) in &namespaces {
        let rights = ["get", "rolebinding", "-n", &namespace.name, "-o", "name"];
        keylease_testbed::wait::until("our rights to go", LATER, || async {
            let left = cluster.kubectl(&rights).await.ok()?;
            (!left.contains("keylease-requests")).then_some(())
        })
        .await?;
    }
    aws.set_down(false);

    for (_, namespace) in &namespaces {
        let what = format!("the end of namespace {}", namespace.name);
        let args = [
            "get",
            "namespace",
            "--ignore-not-found",
            "-o=json",
            &namespace.name,
        ];
        let gone = keylease_testbed::wait::until_ok(&what, Duration::from_secs(120), || async {
            let left = cluster.kubectl(&args).await.map_err(|e| e.to_string())?;
            if left.trim().is_empty() {
                Ok(())
            } else {
                Err(left)
            }
        });
        if let Err(error) = gone.await {
            let log = operator.log_text();
            let about: Vec<_> = log
                .lines()
                .filter(|l| l.contains(&namespace.name))
                .collect();
            panic!(
                "{error:#}\n{}",
                about[about.len().saturating_sub(30)..].join("\n")
            );
        }
    }
    assert!(
        aws.users_under("/keylease/").is_empty(),
        "{:?}",
        aws.users()
    );
    Ok(())
}

/// Our rights in a namespace are away for a while, as between two steps of a
/// `helm upgrade`: what was asked for meanwhile is served when they are back, and
/// what was there before has cost no new key (O6).
#[tokio::test(flavor = "multi_thread")]
async fn rights_that_were_away_for_a_while_are_missed_by_nobody() -> Story {
    let cluster = begin(Begin::Empty).await?;
    let client = client_of(cluster.kubeconfig()).await?;
    let namespace = Namespace::create(client, "away").await?;
    install(&cluster, &["--set=watchNamespaces={away}"]).await?;
    let identity = installed(&cluster).await?;
    let aws = FakeAws::start(FakeConfig::default())?;
    let env = [("KEYLEASE_WATCH_NAMESPACES", "away")];
    let bin = Path::new(KEYLEASE);
    let mut operator = Operator::start(bin, &identity, &aws.endpoint(), &env, &[])?;
    namespace.account("default", json!({})).await?;
    operator.wait_ready(SOON).await?;
    namespace.role(json!({})).await?;
    namespace.request("before", json!({})).await?;
    namespace.ready("before").await?;

    let binding = ["-n", "away", "rolebinding", "keylease-requests"];
    let saved = cluster
        .kubectl(&[&["get", "-o", "yaml"], &binding[..]].concat())
        .await?;
    cluster
        .kubectl(&[&["delete"], &binding[..]].concat())
        .await?;
    namespace.request("meanwhile", json!({})).await?;
    operator.restart().await?;
    operator.wait_ready(SOON).await?;
    let saved: Vec<_> = saved
        .lines()
        .filter(|l| !l.contains("uid:") && !l.contains("resourceVersion:"))
        .collect();
    cluster.kubectl_apply(&saved.join("\n")).await?;
    let served = Duration::from_secs(120);
    namespace.ready_within("meanwhile", served).await?;
    namespace.ready("before").await?;
    assert_eq!(aws.count("CreateAccessKey"), 2, "{:?}", aws.counts());
    for name in ["before", "meanwhile"] {
        namespace.delete(name).await?;
        namespace.gone_within(name, served).await?;
    }
    assert!(aws.users_under("/keylease/").is_empty());
    Ok(())
}
