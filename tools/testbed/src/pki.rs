//! The certificates of one control plane: a CA of its own, the API server's
//! serving certificate, client certificates and the service-account key.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// The CA of a control plane, and the files that its servers read.
pub struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Pki {
    /// Makes a CA, a serving certificate for these addresses, the API server's
    /// certificate for kubelet and a service-account key, and writes them to
    /// `dir`.
    ///
    /// # Errors
    /// When `dir` cannot be written.
    pub fn create(dir: &Path, addresses: &[IpAddr]) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let mut params = named("keylease-testbed-ca", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let pki = Self {
            ca: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
            dir: dir.to_path_buf(),
        };
        pki.write("ca.crt", &pki.ca_pem())?;

        let serving = pki.serving(addresses)?;
        pki.write("apiserver.crt", &serving.cert)?;
        pki.write("apiserver.key", &serving.key)?;

        let kubelet = pki.client("kube-apiserver", "system:masters")?;
        pki.write("kubelet-client.crt", &kubelet.cert)?;
        pki.write("kubelet-client.key", &kubelet.key)?;

        let accounts = KeyPair::generate()?;
        pki.write("sa.key", &accounts.serialize_pem())?;
        pki.write("sa.pub", &accounts.public_key_pem())?;
        Ok(pki)
    }

    /// The path of one of the files: `ca.crt`, `apiserver.crt`,
    /// `apiserver.key`, `kubelet-client.crt`, `kubelet-client.key`, `sa.key`,
    /// `sa.pub`.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// The CA certificate, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.ca.pem()
    }

    /// A client certificate: `user` is the common name, `group` the
    /// organization.
    ///
    /// # Errors
    /// When signing fails.
    pub fn client(&self, user: &str, group: &str) -> Result<Identity> {
        let mut params = named(user, Some(group));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// A server's certificate for these addresses and the API server's names.
    ///
    /// # Errors
    /// When signing fails.
    pub fn serving(&self, addresses: &[IpAddr]) -> Result<Identity> {
        let mut params = named("kube-apiserver", None);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
        for name in ["localhost", "kubernetes", "kubernetes.default.svc"] {
            params
                .subject_alt_names
                .push(SanType::DnsName(name.try_into()?));
        }
        self.sign(params)
    }

    /// A certificate for another server, by its name.
    ///
    /// # Errors
    /// When it is no name, or signing fails.
    pub fn server(&self, name: &str) -> Result<Identity> {
        let mut params = named(name, None);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.ca)?;
        Ok(Identity {
            cert: cert.pem(),
            key: key.serialize_pem(),
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

fn named(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params.distinguished_name.remove(DnType::CommonName);
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params
}
