//! Proxies on the way out, as the environment names them: `HTTPS_PROXY`,
//! `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capitals or not, read as Go
//! programs read them. What they hold may be a password: nothing here shows it.

use std::env;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// Never behind a proxy: this machine, and the metadata services of AWS, which
/// answer by the sender's own address.
const NEAR: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::/32";

/// The proxies, and what goes without.
#[derive(Clone, Default)]
pub struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    direct: Vec<Direct>,
}

/// One proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The variable that names it.
    variable: &'static str,
    url: Uri,
}

/// Hosts that are reached directly: on that port, or on all.
#[derive(Clone)]
struct Direct {
    port: Option<u16>,
    hosts: std::sync::Arc<Matcher>,
    /// The name itself, where only what is below it is meant.
    but: Option<String>,
}

impl Proxies {
    /// As the process's environment says.
    ///
    /// # Errors
    /// A sentence that names the variable that cannot be used.
    pub fn from_env() -> Result<Self, String> {
        Self::of(|name| env::var(name).ok())
    }

    /// As these variables say.
    ///
    /// # Errors
    /// A sentence that names the variable that cannot be used.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let value = |name: &str| {
            let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
            set(name).or_else(|| set(&name.to_lowercase()))
        };
        let proxy = |name| value(name).map(|url| Proxy::parse(name, &url)).transpose();
        let all = proxy("ALL_PROXY")?;
        let exempt = value("NO_PROXY").unwrap_or_default();
        let near = NEAR.split(',');
        Ok(Self {
            https: proxy("HTTPS_PROXY")?.or_else(|| all.clone()),
            http: proxy("HTTP_PROXY")?.or(all),
            direct: near
                .chain(exempt.split(','))
                .filter_map(Direct::parse)
                .collect(),
        })
    }

    /// The proxy for this URL; `None`: it is reached directly.
    pub fn of_url(&self, url: &Uri) -> Option<&Proxy> {
        let encrypted = url.scheme_str() == Some("https");
        let proxy = if encrypted { &self.https } else { &self.http };
        let port = url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let direct = self.direct.iter().any(|direct| direct.has(url, port));
        proxy.as_ref().filter(|_| !direct)
    }

    /// All proxies, each once.
    pub fn all(&self) -> Vec<&Proxy> {
        let mut all: Vec<_> = self.https.iter().chain(&self.http).collect();
        all.dedup();
        all
    }
}

impl Proxy {
    /// The proxy that kubectl takes to this server: it knows no `ALL_PROXY`, and
    /// looks at nothing that is for other schemes.
    ///
    /// # Errors
    /// As [`Proxies::of`].
    pub fn of_kubectl(
        server: &Uri,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let own = match server.scheme_str() {
            Some("http") => "HTTP_PROXY",
            _ => "HTTPS_PROXY",
        };
        let proxies = Proxies::of(|name| {
            let asked = [own, "NO_PROXY"];
            let asked = asked.iter().any(|n| n.eq_ignore_ascii_case(name));
            variable(name).filter(|_| asked)
        });
        Ok(proxies?.of_url(server).cloned())
    }

    /// A proxy by its URL, which `variable` holds.
    ///
    /// # Errors
    /// A sentence that begins with the variable's name.
    pub fn parse(variable: &'static str, text: &str) -> Result<Self, String> {
        let text = text.trim();
        // Whoever leaves the scheme out means http.
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let refused = |what: &str| {
            format!("{variable} {what}; it should be a URL as in http://proxy.example.com:3128")
        };
        let url: Uri = whole.parse().map_err(|_| refused("is not a URL"))?;
        if url.host().is_none_or(str::is_empty) {
            return Err(refused("names no host"));
        }
        match url.scheme_str() {
            Some("http" | "https") => Ok(Self { variable, url }),
            Some("socks5" | "socks5h") => {
                let url = socks(&url).ok_or_else(|| {
                    format!("{variable} has a name or a password, which socks5 proxies are not given here; use one without")
                })?;
                Ok(Self { variable, url })
            }
            other => {
                let scheme = other.unwrap_or_default();
                Err(refused(&format!(
                    "is of a kind that is not known ({scheme})"
                )))
            }
        }
    }

    /// Its URL, with name and password if it has them: for clients only.
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// The variable that names it.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// Scheme, host and port.
    pub fn place(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or("http");
        let host = self.url.host().unwrap_or_default();
        let port = self.url.port_u16().map(|port| format!(":{port}"));
        format!("{scheme}://{host}{}", port.unwrap_or_default())
    }
}

/// The URL with a port. The `h` says that the proxy looks up names, which it is
/// always left to do.
fn socks(url: &Uri) -> Option<Uri> {
    let authority = url.authority().filter(|a| !a.as_str().contains('@'))?;
    let port = authority.port_u16().unwrap_or(1080);
    let host = authority.host();
    format!("socks5://{host}:{port}").parse().ok()
}

impl Direct {
    /// An entry of `NO_PROXY`: `*`, an address, a network, a name with all below
    /// it; each but the first two of these with a port, if it has one.
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim();
        let (hosts, port) = match entry.rsplit_once(':') {
            Some((hosts, port)) if !hosts.contains(':') || hosts.ends_with(']') => {
                (hosts, Some(port.parse().ok()?))
            }
            _ => (entry, None),
        };
        let hosts = hosts.trim_start_matches('[').trim_end_matches(']');
        // `*.name` means what `.name` means: what is below it alone.
        let hosts = hosts
            .strip_prefix('*')
            .filter(|h| h.starts_with('.'))
            .unwrap_or(hosts);
        if hosts.is_empty() {
            return None;
        }
        let all = "*,0.0.0.0/0,::/0";
        let no = if hosts == "*" { all } else { hosts };
        let matcher = Matcher::builder().all("http://proxy").no(no).build();
        Some(Self {
            port,
            hosts: matcher.into(),
            but: hosts.strip_prefix('.').map(str::to_owned),
        })
    }

    fn has(&self, url: &Uri, port: u16) -> bool {
        let host = url.host().unwrap_or_default();
        let other = self.but.as_deref() != Some(host.to_ascii_lowercase().as_str());
        other && self.port.is_none_or(|only| only == port) && self.hosts.intercept(url).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, String> {
        Proxies::of(|name| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn by(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let proxies = proxies(variables).unwrap();
        let url = url.parse().unwrap();
        proxies.of_url(&url).map(Proxy::place)
    }

    #[test]
    fn each_scheme_has_its_own_and_one_for_all_fills_in() {
        let both = [("HTTPS_PROXY", "http://s:1"), ("http_proxy", "p:2")];
        assert_eq!(
            by(&both, "https://iam.amazonaws.com/").as_deref(),
            Some("http://s:1")
        );
        assert_eq!(
            by(&both, "http://iam.test:8000/").as_deref(),
            Some("http://p:2")
        );
        let all = [("all_proxy", "http://a:3"), ("HTTP_PROXY", "")];
        assert_eq!(by(&all, "https://x.test/").as_deref(), Some("http://a:3"));
        assert_eq!(by(&all, "http://x.test/").as_deref(), Some("http://a:3"));
        assert_eq!(by(&[], "https://x.test/"), None);
    }

    #[test]
    fn metadata_services_and_this_machine_are_near() {
        let all = [("ALL_PROXY", "http://a:3")];
        for near in [
            "http://169.254.169.254/latest/",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://[fd00:ec2::254]/",
            "http://localhost:8000/",
            "http://127.0.0.1:8000/",
            "http://[::1]:8000/",
        ] {
            assert_eq!(by(&all, near), None, "{near}");
        }
        assert!(by(&all, "http://[fd00:ec3::1]/").is_some());
    }

    #[test]
    fn what_is_exempt_goes_directly() {
        let rules = "10.0.0.0/8, .svc,*.corp.test,vpce.test:8443,[fd12::]/16,192.0.2.7:80,,";
        let all = [("ALL_PROXY", "http://a:3"), ("no_proxy", rules)];
        for direct in [
            "https://10.96.0.1/",
            "https://kubernetes.default.svc/",
            "https://sts.corp.test/",
            "https://vpce.test:8443/",
            "https://a.vpce.test:8443/",
            "http://192.0.2.7/",
        ] {
            assert_eq!(by(&all, direct), None, "{direct}");
        }
        for through in [
            "https://iam.amazonaws.com/",
            "https://11.0.0.1/",
            "https://vpce.test/",
            "https://notsvc/",
            "https://svc/",
            "https://corp.test/",
            "https://192.0.2.7/",
        ] {
            assert!(by(&all, through).is_some(), "{through}");
        }
        let nothing = [("ALL_PROXY", "http://a:3"), ("NO_PROXY", "*")];
        assert_eq!(by(&nothing, "https://iam.amazonaws.com/"), None);
    }

    #[test]
    fn kubectl_asks_what_is_for_the_scheme_of_the_server() {
        let to = |set: &[(&str, &str)], server: &str| {
            let variable = |name: &str| {
                let found = set.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let proxy = Proxy::of_kubectl(&server.parse().unwrap(), variable);
            proxy.map(|proxy| proxy.map(|p| p.url().to_string()))
        };
        let server = "https://10.1.2.3:6443";
        let set = [
            ("ALL_PROXY", "socks4://other:1"),
            ("http_proxy", "nonsense://x"),
            ("https_proxy", "proxy:3128"),
        ];
        assert_eq!(to(&set, server), Ok(Some("http://proxy:3128/".into())));
        assert_eq!(to(&set[..2], server), Ok(None));
        assert!(to(&set, "http://10.1.2.3").is_err());
        for (none, through) in [
            // It is the server that is compared, and not the proxy.
            ("proxy", true),
            ("10.0.0.0/8", false),
            ("10.1.2.3:6443", false),
            ("10.1.2.3:443", true),
            ("a,,10.1.2.3,", false),
            ("*", false),
            ("192.168.0.0/16", true),
        ] {
            let set = [set[2], ("NO_PROXY", none)];
            assert_eq!(to(&set, server).unwrap().is_some(), through, "{none}");
        }
    }

    #[test]
    fn socks_proxies_have_their_own_port_and_no_password() {
        let to = |url: &str| Proxy::parse("HTTPS_PROXY", url).map(|p| p.url().to_string());
        assert_eq!(to("socks5h://proxy"), Ok("socks5://proxy:1080/".into()));
        assert_eq!(
            to("socks5://[fd00::1]:9"),
            Ok("socks5://[fd00::1]:9/".into())
        );
        let refused = to("socks5://u:hunter2@proxy").unwrap_err();
        assert!(refused.starts_with("HTTPS_PROXY has a name"), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_the_name_of_its_variable_alone() {
        for (value, told) in [
            (
                "ftp://user:hunter2@proxy:3128",
                "HTTPS_PROXY is of a kind that is not known (ftp)",
            ),
            ("http://user:hunter2@pro xy", "HTTPS_PROXY is not a URL"),
            ("http://:3128", "HTTPS_PROXY"),
        ] {
            let refused = proxies(&[("HTTPS_PROXY", value)]).err().unwrap();
            assert!(refused.starts_with(told), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let fine = proxies(&[("HTTPS_PROXY", "http://user:hunter2@proxy:3128")]).unwrap();
        assert_eq!(fine.all()[0].place(), "http://proxy:3128");
    }
}
