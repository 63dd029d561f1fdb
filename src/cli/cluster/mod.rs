//! The way to the API server, for the operator, the sweep and the plugin alike:
//! kubeconfigs, proxies and sign-ins as kubectl has them
//! (docs/decisions/0041-kubeconfigs.md).

mod kubeconfig;
mod sign_in;

use std::env;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{Cluster, ExecAuthCluster};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tower::buffer::BufferLayer;
use tower::filter::AsyncFilterLayer;

pub(super) use kubeconfig::Flags;
use kubeconfig::Selected;
pub(super) use sign_in::LEASED_KEY;
use sign_in::{Plugin, Tokens};

use crate::proxy::Proxy;

/// Requests that wait for a token at a time.
const WAITING: usize = 1024;

/// The longest silence of an API server that still counts as an answer on its
/// way: above the 290 s after which it ends a watch (kube's default, and 200 s
/// of the operator's own). kube ends a watch that is silent for longer; a list,
/// or a watch that never starts, would wait for ever.
const SILENCE: Duration = Duration::from_secs(300);

/// A cluster that can be talked to.
pub(super) struct Place {
    /// The client. Nothing is sent yet.
    pub client: Client,
    /// The namespace that the context, or the pod, is in.
    pub namespace: String,
    /// The address of the API server.
    pub server: http::Uri,
}

/// The cluster that flags and kubeconfigs name, else the one that this process
/// runs in. Within its cluster the API server is reached directly.
///
/// # Errors
/// Why there is none, and what to change.
pub(super) async fn find(flags: &Flags) -> Result<Place, String> {
    let file = kubeconfig::read(flags.file.as_deref())?;
    if let Some(selected) = kubeconfig::select(file, flags)? {
        return connect(selected).await;
    }
    let mut config = Config::incluster().map_err(|_| {
        "there is no kubeconfig that can be read and has a current context".to_owned()
    })?;
    end_silence(&mut config);
    let namespace = config.default_namespace.clone();
    let server = config.cluster_url.clone();
    let client = Client::try_from(config).map_err(|e| e.to_string())?;
    Ok(Place {
        client,
        namespace,
        server,
    })
}

async fn connect(selected: Selected) -> Result<Place, String> {
    let Selected {
        namespace,
        cluster,
        user_name,
        mut user,
    } = selected;
    let mut config = config(&cluster)?;
    let server = config.cluster_url.clone();
    let plugin = Plugin::of(&mut user, &user_name, &cluster).map_err(|e| e.to_string())?;
    let tokens = match plugin {
        None => None,
        Some(plugin) => plugin.sign_in(&mut user).await?,
    };
    config.default_namespace.clone_from(&namespace);
    config.auth_info = user;
    let unusable = |e: kube::Error| format!("the kubeconfig cannot be used: {e}");
    let builder = ClientBuilder::try_from(config).map_err(unusable)?;
    let client = match tokens {
        None => builder.build(),
        Some(tokens) => builder
            .with_layer(&BufferLayer::new(WAITING))
            .with_layer(&AsyncFilterLayer::new(move |request| {
                Tokens::put_on(tokens.clone(), request)
            }))
            .build(),
    };
    Ok(Place {
        client,
        namespace,
        server,
    })
}

/// The server of a cluster: where it is, who it has to be and which proxy leads
/// there. (kube's own loading of this asks `NO_PROXY` about the proxy's address,
/// and fails on an empty entry in it.)
fn config(cluster: &Cluster) -> Result<Config, String> {
    let text = cluster.server.as_deref().unwrap_or_default();
    let url: http::Uri = text
        .parse()
        .ok()
        .filter(|url: &http::Uri| url.scheme().is_some())
        .ok_or_else(|| {
            format!("the kubeconfig's server {text:?} should be a URL as in https://example.com")
        })?;
    let mut config = Config::new(url.clone());
    config.root_cert = roots(cluster)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or_default();
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    let proxy = match &cluster.proxy_url {
        Some(named) => Some(Proxy::parse("proxy-url of the kubeconfig", named)?),
        None => Proxy::of_kubectl(&url, |name| env::var(name).ok())?,
    };
    config.proxy_url = proxy.map(|proxy| proxy.url().clone());
    end_silence(&mut config);
    Ok(config)
}

/// Bounds how long an answer may be silent, from the end of its request on.
fn end_silence(config: &mut Config) {
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
}

fn roots(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, String> {
    let info = ExecAuthCluster::try_from(cluster).map_err(|e| e.to_string())?;
    let Some(pem) = info.certificate_authority_data else {
        return Ok(None);
    };
    let bad = || "certificate-authority of the kubeconfig holds no certificate".to_owned();
    let read = CertificateDer::pem_slice_iter(&pem).map(|one| one.map(|c| c.to_vec()));
    let roots: Vec<Vec<u8>> = read.collect::<Result<_, _>>().map_err(|_| bad())?;
    match roots.is_empty() {
        true => Err(bad()),
        false => Ok(Some(roots)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(text: &str) -> Cluster {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_the_kubeconfig_says_of_the_server_is_kept() {
        let config = config(&cluster(
            r#"{"server": "https://10.1.2.3:6443", "tls-server-name": "k8s",
                "insecure-skip-tls-verify": true, "proxy-url": "socks5h://proxy"}"#,
        ))
        .unwrap();
        assert_eq!(config.cluster_url, "https://10.1.2.3:6443/");
        assert_eq!(config.tls_server_name.as_deref(), Some("k8s"));
        assert!(config.accept_invalid_certs);
        assert_eq!(
            config.proxy_url.unwrap().to_string(),
            "socks5://proxy:1080/"
        );
    }

    /// An API server that takes a request and is never heard of again. The clock
    /// is the runtime's: it jumps to the next timer when nothing else happens.
    #[tokio::test]
    async fn an_answer_that_never_comes_is_given_up() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let cluster = cluster(&format!(r#"{{"server": "http://{address}"}}"#));
        let client = Client::try_from(config(&cluster).unwrap()).unwrap();
        let asked = tokio::spawn(async move { client.apiserver_version().await });
        let _silent = server.accept().await.unwrap();
        tokio::time::pause();
        let before = tokio::time::Instant::now();
        let fault = asked.await.unwrap().unwrap_err();
        assert!(
            before.elapsed() >= SILENCE - Duration::from_secs(1),
            "{fault}"
        );
        assert!(
            matches!(fault, kube::Error::HyperError(_) | kube::Error::Service(_)),
            "{fault}"
        );
    }

    #[test]
    fn what_cannot_be_used_is_told_with_the_field() {
        for (text, told) in [
            (r#"{"server": "10.1.2.3:6443"}"#, "server \"10.1.2.3:6443\""),
            (r#"{}"#, "server"),
            (
                r#"{"server": "https://a", "certificate-authority-data": "bm90aGluZw=="}"#,
                "certificate-authority of the kubeconfig holds no certificate",
            ),
            (
                r#"{"server": "https://a", "proxy-url": "ftp://u:hunter2@p"}"#,
                "proxy-url of the kubeconfig is of a kind that is not known (ftp)",
            ),
        ] {
            let refused = config(&cluster(text)).unwrap_err();
            assert!(refused.contains(told), "{text}: {refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
