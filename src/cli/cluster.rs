//! The way to the API server.

use kube::config::Kubeconfig;
use kube::{Client, Config};

use crate::proxy::Proxies;

/// A client for the cluster that a kubeconfig names, else for the one that this
/// process runs in.
///
/// Within its cluster the API server is reached directly. Else it is as with
/// kubectl: a `proxy-url` counts whatever the environment says, and without one
/// what the environment says of the API server's own address. (kube-client asks
/// `NO_PROXY` about the proxy's address instead.)
///
/// # Errors
/// Why there is none.
pub(super) async fn client(proxies: &Proxies) -> Result<Client, String> {
    let config = config(proxies).await?;
    Client::try_from(config).map_err(|e| e.to_string())
}

/// The configuration of such a client.
///
/// # Errors
/// Why there is none.
pub(super) async fn config(proxies: &Proxies) -> Result<Config, String> {
    let mut config = Config::infer().await.map_err(|e| e.to_string())?;
    if let Ok(file) = Kubeconfig::read() {
        config.proxy_url = match proxy_url(&file) {
            Some(named) => Some(
                named
                    .parse()
                    .map_err(|_| "proxy-url of the kubeconfig is not a URL".to_owned())?,
            ),
            None => proxies.of_url(&config.cluster_url).map(|p| p.url().clone()),
        };
    }
    Ok(config)
}

/// The `proxy-url` of the cluster of the current context.
fn proxy_url(file: &Kubeconfig) -> Option<&str> {
    let current = file.current_context.as_ref()?;
    let context = file.contexts.iter().find(|c| c.name == *current)?;
    let name = &context.context.as_ref()?.cluster;
    let cluster = file.clusters.iter().find(|c| c.name == *name)?;
    let url = cluster.cluster.as_ref()?.proxy_url.as_deref();
    url.filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_of_the_current_context_is_found() {
        let text = "
apiVersion: v1
kind: Config
current-context: b
contexts:
- {name: a, context: {cluster: plain, user: u}}
- {name: b, context: {cluster: behind, user: u}}
clusters:
- {name: plain, cluster: {server: 'https://plain.test'}}
- {name: behind, cluster: {server: 'https://behind.test', proxy-url: 'socks5://proxy:1080'}}
";
        let mut file = Kubeconfig::from_yaml(text).unwrap();
        assert_eq!(proxy_url(&file), Some("socks5://proxy:1080"));
        file.current_context = Some("a".to_owned());
        assert_eq!(proxy_url(&file), None);
    }
}
