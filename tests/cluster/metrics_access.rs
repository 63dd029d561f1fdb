//! Who may read metrics and change the log level: whom the API server lets, over
//! TLS.

use std::path::Path;

use anyhow::Result;
use keylease_testbed::operator::NAMESPACE;
use keylease_testbed::{ControlPlane, FakeAws, FakeConfig, Https, Operator, http, wait};

use crate::chart::{established, foreign_kinds, install};
use crate::harness::{Bed, Begin, KEYLEASE, SOON, Settings, Story, begin};

const REVIEWED: (&str, &str) = ("KEYLEASE_METRICS_ACCESS", "reviewed");

/// A service account in `default`, and its token; with a right, it has this
/// verb on this path.
async fn somebody(
    cluster: &ControlPlane,
    name: &str,
    right: Option<(&str, &str)>,
) -> Result<String> {
    cluster.kubectl(&["create", "serviceaccount", name]).await?;
    if let Some((verbs, path)) = right {
        let (verbs, path) = (
            format!("--verb={verbs}"),
            format!("--non-resource-url={path}"),
        );
        let role = ["create", "clusterrole", name, &verbs, &path];
        cluster.kubectl(&role).await?;
        let (role, subject) = (
            format!("--clusterrole={name}"),
            format!("--serviceaccount=default:{name}"),
        );
        let bind = ["create", "clusterrolebinding", name, &role, &subject];
        cluster.kubectl(&bind).await?;
    }
    cluster.service_account_token("default", name).await
}

async fn reviewing_bed() -> Result<std::sync::Arc<Bed>> {
    let settings = Settings {
        env: &[REVIEWED],
        ..Settings::default()
    };
    Bed::start(settings).await
}

/// Reading metrics and changing the log level are two rights, and neither is
/// had without a token.
#[tokio::test(flavor = "multi_thread")]
async fn each_path_is_for_whoever_has_the_right_to_it() -> Story {
    let bed = reviewing_bed().await?;
    let prometheus = somebody(&bed.cluster, "prometheus", Some(("get", "/metrics"))).await?;
    let on_call = somebody(&bed.cluster, "on-call", Some(("get,put", "/log-level"))).await?;
    let stranger = somebody(&bed.cluster, "stranger", None).await?;
    let operator = bed.operator.lock().await;
    let addr = operator.metrics_addr();
    let https = Https::trusting_anybody(addr)?;

    let nothing = https.get("/metrics", None).await?;
    assert_eq!(nothing.status, 401, "{}", nothing.body);
    assert_eq!(https.get("/metrics", Some("made-up")).await?.status, 401);
    let refused = https.get("/metrics", Some(&stranger)).await?;
    assert_eq!(refused.status, 403);
    let named = "system:serviceaccount:default:stranger may not get /metrics";
    assert!(refused.body.contains(named), "{}", refused.body);
    // Twice: the second is answered from memory.
    for _ in 0..2 {
        let metrics = https.get("/metrics", Some(&prometheus)).await?;
        assert_eq!(metrics.status, 200, "{}", metrics.body);
        assert!(
            metrics.body.contains("keylease_leader 1"),
            "{}",
            metrics.body
        );
    }

    let level = "/log-level";
    assert_eq!(https.get(level, Some(&prometheus)).await?.status, 403);
    for token in [None, Some("made-up"), Some(&*stranger), Some(&*prometheus)] {
        let refused = https.put(level, token, "error").await?;
        assert!([401, 403].contains(&refused.status), "{refused:?}");
    }
    assert_eq!(https.get("/metrics", Some(&on_call)).await?.status, 403);
    let changed = https.put(level, Some(&on_call), "keylease=trace").await?;
    assert_eq!(changed.status, 204, "{}", changed.body);
    let now = https.get(level, Some(&on_call)).await?;
    assert_eq!(now.body, "keylease=trace");

    let log = operator.log_text();
    let by = "by=\"system:serviceaccount:default:on-call\"";
    assert!(log.contains(by), "{log}");
    for token in [&prometheus, &on_call, &stranger] {
        assert!(!log.contains(token.as_str()), "a token is in the log");
    }

    // Neither without TLS, nor on the port of the probes, nor to somebody who
    // wants to know whom they talk to.
    let plain = http::get(addr, "/metrics").await;
    assert!(plain.is_err(), "{plain:?}");
    for path in ["/metrics", level] {
        let there = http::get(operator.http_addr(), path).await?;
        assert_eq!(there.status, 404, "{path}");
    }
    let careful = Https::trusting(addr, &bed.cluster.ca_pem())?;
    let untrusted = careful.get("/metrics", Some(&prometheus)).await;
    assert!(untrusted.is_err(), "{untrusted:?}");
    Ok(())
}

/// The token that a ServiceMonitor names opens the metrics, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_chart_gives_a_service_monitor_a_token() -> Story {
    let cluster = begin(Begin::Empty).await?;
    let kind = [("monitoring.coreos.com", "ServiceMonitor", "servicemonitors")];
    cluster.kubectl_apply(&foreign_kinds(&kind)).await?;
    established(&cluster).await?;
    // By `auto`, because the kind is served.
    install(&cluster, &["--set=metrics.serviceMonitor.enabled=auto"]).await?;
    established(&cluster).await?;
    let endpoint = ".spec.endpoints[0].authorization.credentials.name";
    let endpoint = format!("-o=jsonpath={{{endpoint}}}");
    let monitor = ["get", "-n", NAMESPACE, "servicemonitor", "keylease"];
    let secret = cluster
        .kubectl(&[&monitor[..], &[&*endpoint]].concat())
        .await?;
    let token = wait::until_ok("the token", SOON, || async {
        let path = "-o=go-template={{.data.token | base64decode}}";
        let get = ["get", "-n", NAMESPACE, "secret", &secret, path];
        cluster.kubectl(&get).await
    })
    .await?;

    let aws = FakeAws::start(FakeConfig::default())?;
    let bin = Path::new(KEYLEASE);
    let kubeconfig = cluster.kubeconfig();
    let mut operator = Operator::start(bin, kubeconfig, &aws.endpoint(), &[REVIEWED], &[])?;
    operator.wait_ready(SOON).await?;
    let https = Https::trusting_anybody(operator.metrics_addr())?;
    let metrics = https.get("/metrics", Some(&token)).await?;
    assert_eq!(metrics.status, 200, "{}", metrics.body);
    assert_eq!(https.get("/log-level", Some(&token)).await?.status, 403);
    let who = format!("--as=system:serviceaccount:{NAMESPACE}:{secret}");
    let secrets = ["auth", "can-i", "get", "secrets", "-n", NAMESPACE, &who];
    assert!(cluster.kubectl(&secrets).await.is_err());
    Ok(())
}

/// Nobody can be asked: that is no yes, and passes with the outage.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_while_the_api_server_is_away() -> Story {
    let bed = reviewing_bed().await?;
    let token = somebody(&bed.cluster, "prometheus", Some(("get", "/metrics"))).await?;
    let operator = bed.operator.lock().await;
    let https = Https::trusting_anybody(operator.metrics_addr())?;
    bed.cluster.stop_apiserver();
    let away = https.get("/metrics", Some(&token)).await?;
    assert_eq!(away.status, 503, "{}", away.body);
    assert_eq!(https.get("/metrics", None).await?.status, 401);

    bed.cluster.start_apiserver().await?;
    wait::until_ok("metrics", SOON, || async {
        let answer = https.get("/metrics", Some(&token)).await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

/// A certificate that cert-manager mounts is one that Prometheus can check, and
/// a renewed one is taken up without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_certificate_is_served_and_renewed() -> Story {
    let cluster = begin(Begin::Installed).await?;
    let token = somebody(&cluster, "prometheus", Some(("get", "/metrics"))).await?;
    let folder = cluster.dir().join("metrics-tls");
    std::fs::create_dir(&folder)?;
    let issue = || -> Result<()> {
        let identity = cluster.serving_certificate()?;
        std::fs::write(folder.join("tls.crt"), identity.cert)?;
        std::fs::write(folder.join("tls.key"), identity.key)?;
        Ok(())
    };
    issue()?;
    let aws = FakeAws::start(FakeConfig::default())?;
    let mounted = folder.display().to_string();
    let env = [REVIEWED, ("KEYLEASE_METRICS_CERT_DIR", &*mounted)];
    let bin = Path::new(KEYLEASE);
    let mut operator = Operator::start(bin, cluster.kubeconfig(), &aws.endpoint(), &env, &[])?;
    operator.wait_ready(SOON).await?;
    let https = Https::trusting(operator.metrics_addr(), &cluster.ca_pem())?;
    assert_eq!(https.get("/metrics", Some(&token)).await?.status, 200);

    let before = https.certificate().await?;
    issue()?;
    assert_ne!(https.certificate().await?, before);
    assert_eq!(https.get("/metrics", Some(&token)).await?.status, 200);
    Ok(())
}
