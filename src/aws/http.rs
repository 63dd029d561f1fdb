//! The HTTP client for calls to AWS: through which proxy, and with which roots.

use aws_sdk_sts::config::{HttpClient, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::roots::Roots;
use crate::proxy::{Proxies, Proxy};

/// A client that trusts these roots and goes by these proxies.
///
/// # Errors
/// A sentence that names the variable, or the file, that cannot be used.
pub fn client(proxies: Proxies, roots: &Roots) -> Result<SharedHttpClient, String> {
    let client = over(&proxies, roots, Connections::Kept)?;
    for proxy in proxies.all() {
        let (variable, place) = (proxy.variable(), proxy.place());
        tracing::info!(variable, place, "calls to AWS go through a proxy");
    }
    Ok(client)
}

/// The same, with a connection of its own for each call: AWS is many servers, and
/// a connection leads to one.
///
/// # Errors
/// As [`client`].
pub fn apart(proxies: &Proxies, roots: &Roots) -> Result<SharedHttpClient, String> {
    over(proxies, roots, Connections::OneForEach)
}

/// What becomes of a connection after a call.
#[derive(Clone, Copy)]
enum Connections {
    /// It serves the next.
    Kept,
    /// It is closed.
    OneForEach,
}

fn over(
    proxies: &Proxies,
    roots: &Roots,
    connections: Connections,
) -> Result<SharedHttpClient, String> {
    let tls = context(roots)?;
    let through = proxies.all().into_iter().map(|proxy| {
        let client = one(proxy_config(proxy)?, &tls, connections);
        Ok((proxy.clone(), client))
    });
    let through = through.collect::<Result<Vec<_>, String>>()?;
    let direct = one(ProxyConfig::disabled(), &tls, connections);
    if through.is_empty() {
        return Ok(direct);
    }
    Ok(SharedHttpClient::new(ByProxy {
        proxies: proxies.clone(),
        direct,
        through,
    }))
}

fn context(roots: &Roots) -> Result<TlsContext, String> {
    let store = match roots {
        Roots::OfSystem => TrustStore::default(),
        Roots::Bundle(pem) => TrustStore::empty().with_pem_certificate(pem.clone()),
    };
    let context = TlsContext::builder().with_trust_store(store).build();
    context.map_err(|error| format!("the root certificates cannot be used: {error}"))
}

fn proxy_config(proxy: &Proxy) -> Result<ProxyConfig, String> {
    let config = ProxyConfig::all(proxy.url().to_string());
    // The SDK's error may quote the URL, and with it a password.
    config.map_err(|_| {
        format!(
            "{} names {}, and calls to AWS can go through proxies of http:// and https:// only",
            proxy.variable(),
            proxy.place()
        )
    })
}

fn one(proxy: ProxyConfig, tls: &TlsContext, connections: Connections) -> SharedHttpClient {
    let tls = tls.clone();
    aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = aws_smithy_http_client::Connector::builder()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls.clone())
            .proxy_config(proxy.clone());
        if let Connections::OneForEach = connections {
            builder = builder.pool_max_idle_per_host(0);
        }
        builder.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            builder.set_sleep_impl(components.sleep_impl());
        }
        builder.build()
    })
}

/// Clients by the proxy that a call goes through.
#[derive(Clone)]
struct ByProxy<C> {
    proxies: Proxies,
    direct: C,
    through: Vec<(Proxy, C)>,
}

impl<C> std::fmt::Debug for ByProxy<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByProxy")
    }
}

impl HttpClient for ByProxy<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = |client: &SharedHttpClient| client.http_connector(settings, components);
        let through = self.through.iter();
        SharedHttpConnector::new(ByProxy {
            proxies: self.proxies.clone(),
            direct: connector(&self.direct),
            through: through
                .map(|(proxy, c)| (proxy.clone(), connector(c)))
                .collect(),
        })
    }
}

impl HttpConnector for ByProxy<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let url = request.uri().parse().ok();
        let proxy = url.as_ref().and_then(|url| self.proxies.of_url(url));
        let through = self.through.iter().find(|(p, _)| Some(p) == proxy);
        through
            .map_or(&self.direct, |(_, client)| client)
            .call(request)
    }
}
