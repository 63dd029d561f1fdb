//! Kubeconfigs: which files they are in, and what of them is meant. kube reads
//! a file and merges two; what it does otherwise than kubectl is mended here.

use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, Cluster, Context, Kubeconfig, KubeconfigError};
use secrecy::{ExposeSecret, SecretString};

/// How the usual file may be missing: a pod's user may have a home that is none,
/// or is another's.
const AT_HOME: [ErrorKind; 3] = [
    ErrorKind::NotFound,
    ErrorKind::NotADirectory,
    ErrorKind::PermissionDenied,
];

/// The flags of kubectl that say what is meant. Without them: the environment.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Flags {
    /// The one file to read.
    pub file: Option<PathBuf>,
    /// Name of the context.
    pub context: Option<String>,
    /// Name of the cluster, in place of the context's.
    pub cluster: Option<String>,
    /// Name of the user, in place of the context's.
    pub user: Option<String>,
}

/// What is meant.
#[derive(Debug)]
pub(super) struct Selected {
    /// The namespace of the context.
    pub namespace: String,
    /// The server.
    pub cluster: Cluster,
    /// Name of the user, for messages.
    pub user_name: String,
    /// How to sign in.
    pub user: AuthInfo,
}

/// The file that a flag names; else those of `KUBECONFIG` as one; else the usual
/// one. Only the first has to be there.
pub(super) fn read(named: Option<&Path>) -> Result<Kubeconfig, String> {
    if let Some(file) = named {
        return read_file(file).map_err(|e| unreadable(file, &e));
    }
    let list = env::var_os("KUBECONFIG").unwrap_or_default();
    let mut files: Vec<PathBuf> = env::split_paths(&list)
        .filter(|file| !file.as_os_str().is_empty())
        .collect();
    let mut optional = &[ErrorKind::NotFound][..];
    if files.is_empty() {
        files.extend(env::home_dir().map(|home| home.join(".kube").join("config")));
        optional = &AT_HOME;
    }
    merged(&files, optional)
}

fn merged(files: &[PathBuf], optional: &[ErrorKind]) -> Result<Kubeconfig, String> {
    let mut all = Kubeconfig::default();
    for file in files {
        let next = match read_file(file) {
            Err(KubeconfigError::ReadConfig(e, _)) if optional.contains(&e.kind()) => continue,
            read => read.and_then(|next| all.clone().merge(next)),
        };
        all = next.map_err(|e| unreadable(file, &e))?;
    }
    Ok(all)
}

fn read_file(file: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let mut read = Kubeconfig::read_from(file)?;
    tidy(&mut read, file.parent().unwrap_or(Path::new("")));
    Ok(read)
}

/// The file may hold keys: what of it is wrong is told without quoting it.
fn unreadable(file: &Path, error: &KubeconfigError) -> String {
    let why = match error {
        KubeconfigError::ReadConfig(e, _) => e.to_string(),
        KubeconfigError::Parse(e) => e.without_snippet().to_string(),
        other => other.to_string(),
    };
    format!("kubeconfig {}: {why}", file.display())
}

/// What is empty counts as not there, so that neither a later file nor a default
/// is kept from taking its place.
fn tidy(read: &mut Kubeconfig, folder: &Path) {
    empty(&mut read.current_context);
    // kube has put the folder in front of the empty path.
    let no_path = |field: &mut Option<String>| {
        field.take_if(|path| path.is_empty() || Path::new(path.as_str()) == folder);
    };
    for context in read.contexts.iter_mut().filter_map(|c| c.context.as_mut()) {
        empty(&mut context.namespace);
        empty(&mut context.user);
    }
    for cluster in read.clusters.iter_mut().filter_map(|c| c.cluster.as_mut()) {
        no_path(&mut cluster.certificate_authority);
        empty(&mut cluster.certificate_authority_data);
        empty(&mut cluster.proxy_url);
        empty(&mut cluster.tls_server_name);
    }
    let users = read.auth_infos.iter_mut();
    for user in users.filter_map(|u| u.auth_info.as_mut()) {
        no_path(&mut user.client_certificate);
        no_path(&mut user.client_key);
        no_path(&mut user.token_file);
        empty(&mut user.client_certificate_data);
        empty(&mut user.impersonate);
        for secret in [
            &mut user.client_key_data,
            &mut user.token,
            &mut user.password,
        ] {
            secret.take_if(|secret| secret.expose_secret().is_empty());
        }
    }
}

fn empty(field: &mut Option<String>) {
    field.take_if(|value| value.is_empty());
}

/// Context, cluster and user by the flags. `None`: the kubeconfig names none, and
/// no flag asks for it.
pub(super) fn select(file: Kubeconfig, flags: &Flags) -> Result<Option<Selected>, String> {
    let named = flags.context.clone().or(file.current_context);
    let context = match &named {
        Some(name) => {
            let found = file.contexts.into_iter().find(|c| c.name == *name);
            let found = found.ok_or_else(|| missing("context", name, "--context"))?;
            found.context.unwrap_or_default()
        }
        // Who names the cluster needs no context.
        None if flags.cluster.is_some() => Context::default(),
        None if flags.user.is_some() || flags.file.is_some() => {
            return Err("the kubeconfig has no current context; name one with --context".into());
        }
        None => return Ok(None),
    };
    let name = flags.cluster.as_ref().unwrap_or(&context.cluster);
    let cluster = file.clusters.into_iter().find(|c| c.name == *name);
    let cluster = cluster
        .and_then(|c| c.cluster)
        .ok_or_else(|| missing("cluster", name, "--cluster"))?;
    let user_name = flags.user.clone().or(context.user).unwrap_or_default();
    let user = file.auth_infos.into_iter().find(|u| u.name == user_name);
    let mut user = match user.and_then(|u| u.auth_info) {
        Some(user) => user,
        None if flags.user.is_some() => return Err(missing("user", &user_name, "--user")),
        // As with kubectl: the server says who may do anything without a name.
        None => AuthInfo::default(),
    };
    read_token(&mut user);
    Ok(Some(Selected {
        namespace: context.namespace.unwrap_or_else(|| "default".to_owned()),
        cluster,
        user_name,
        user,
    }))
}

fn missing(kind: &str, name: &str, flag: &str) -> String {
    format!("the kubeconfig has no {kind} {name:?}; name another with {flag}, or set KUBECONFIG")
}

/// A file with a token goes before a token. kube would send the line break at its
/// end, which is no part of a header; such a file is not read again.
fn read_token(user: &mut AuthInfo) {
    let file = user.token_file.as_deref();
    let Some(text) = file.and_then(|file| std::fs::read_to_string(file).ok()) else {
        return;
    };
    let token = text.trim();
    if token == text {
        user.token = None;
    } else {
        user.token = Some(SecretString::from(token));
        user.token_file = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "
current-context: ''
clusters:
- {name: c, cluster: {server: 'https://one', certificate-authority: pki/ca.pem, proxy-url: '', tls-server-name: ''}}
- {name: d, cluster: {server: 'https://d', certificate-authority: ''}}
users:
- {name: u, user: {token: '', client-certificate: /abs.pem, client-key: '', exec: {command: ./bin/get, args: ['']}}}
- {name: v, user: {token: t, exec: {command: aws, env: [{name: A, value: ''}]}}}
contexts:
- {name: x, context: {cluster: c, user: u, namespace: ''}}
";
    const TWO: &str = "
current-context: y
clusters:
- {name: c, cluster: {server: 'https://two'}}
users: null
contexts:
- {name: y, context: {cluster: c, user: nobody, namespace: team}}
";

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).to_str().unwrap().to_owned()
        }
    }

    fn flags(context: &str, cluster: &str, user: &str) -> Flags {
        let some = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Flags {
            file: None,
            context: some(context),
            cluster: some(cluster),
            user: some(user),
        }
    }

    #[test]
    fn what_is_empty_is_not_there_and_paths_are_relative_to_the_file() {
        let folder = Folder::new();
        let read = read(Some(&folder.file("one", ONE))).unwrap();
        let cluster = read.clusters[0].cluster.as_ref().unwrap();
        let ca = cluster.certificate_authority.as_ref();
        assert_eq!(ca, Some(&folder.path("pki/ca.pem")));
        let other = read.clusters[1].cluster.as_ref().unwrap();
        assert_eq!(other.certificate_authority, None);
        assert_eq!(
            (&cluster.proxy_url, &cluster.tls_server_name),
            (&None, &None)
        );
        let user = read.auth_infos[0].auth_info.as_ref().unwrap();
        assert!(user.token.is_none() && user.client_key.is_none());
        assert_eq!(user.client_certificate.as_deref(), Some("/abs.pem"));
        let exec = user.exec.as_ref().unwrap();
        assert_eq!(exec.command, Some(folder.path("./bin/get")));
        let bare = read.auth_infos[1].auth_info.as_ref().unwrap();
        assert_eq!(bare.exec.as_ref().unwrap().command.as_deref(), Some("aws"));
    }

    #[test]
    fn of_several_files_the_first_wins_and_what_is_missing_is_skipped() {
        let folder = Folder::new();
        let missing = PathBuf::from(folder.path("missing"));
        let all = [
            missing.clone(),
            folder.file("one", ONE),
            folder.file("two", TWO),
            folder.file("empty", ""),
        ];
        let read = merged(&all, &[ErrorKind::NotFound]).unwrap();
        let selected = select(read, &Flags::default()).unwrap().unwrap();
        assert_eq!(selected.namespace, "team");
        assert_eq!(selected.cluster.server.as_deref(), Some("https://one"));
        assert!(selected.user.token.is_none());
        let nothing = merged(std::slice::from_ref(&missing), &AT_HOME).unwrap();
        assert!(select(nothing, &Flags::default()).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_file_and_without_its_keys() {
        let folder = Folder::new();
        let text = "users:\n- {name: u, user: {token: hunter2}}\nclusters: {";
        let broken = merged(&[folder.file("broken", text)], &AT_HOME).unwrap_err();
        assert!(broken.contains(&folder.path("broken")), "{broken}");
        assert!(!broken.contains("hunter2"), "{broken}");
        let missing = PathBuf::from(folder.path("missing"));
        let named = super::read(Some(&missing)).unwrap_err();
        assert!(named.contains("missing"), "{named}");
        let no_file = merged(&[folder.0.path().to_owned()], &AT_HOME).unwrap_err();
        assert!(no_file.contains("irectory"), "{no_file}");
        // Named, it has to be a file; at home there need not be one.
        let beneath = [folder.file("plain", "").join("config")];
        assert!(merged(&beneath, &[ErrorKind::NotFound]).is_err());
        assert!(merged(&beneath, &AT_HOME).is_ok());
    }

    #[test]
    fn flags_go_before_the_context() {
        let file = || {
            let text = ONE.replacen("current-context: ''", "current-context: x", 1);
            let mut read = Kubeconfig::from_yaml(&text).unwrap();
            tidy(&mut read, Path::new("/k"));
            read
        };
        let of = |flags| select(file(), &flags).map(|s| s.unwrap());
        let usual = of(flags("", "", "")).unwrap();
        assert_eq!(
            (usual.user_name.as_str(), usual.namespace.as_str()),
            ("u", "default")
        );
        let other = of(flags("", "d", "v")).unwrap();
        assert_eq!(other.cluster.server.as_deref(), Some("https://d"));
        assert_eq!(other.user_name, "v");
        for (flags, told) in [
            (flags("z", "", ""), "no context \"z\""),
            (flags("", "z", ""), "no cluster \"z\""),
            (flags("", "", "z"), "no user \"z\""),
        ] {
            let refused = of(flags).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
        // Without any context.
        let mut bare = file();
        bare.current_context = None;
        let named = select(bare.clone(), &flags("", "c", "v")).unwrap().unwrap();
        assert_eq!(named.namespace, "default");
        assert!(select(bare.clone(), &flags("", "", "v")).is_err());
        assert!(select(bare, &flags("", "", "")).unwrap().is_none());
    }

    #[test]
    fn a_line_break_is_no_part_of_a_token() {
        let folder = Folder::new();
        let user = |file: PathBuf| {
            let mut user = AuthInfo {
                token: Some("old".into()),
                token_file: file.to_str().map(str::to_owned),
                ..AuthInfo::default()
            };
            read_token(&mut user);
            let token = user.token.map(|t| t.expose_secret().to_owned());
            (token, user.token_file.is_some())
        };
        let with = user(folder.file("with", "t0k\n"));
        assert_eq!(with, (Some("t0k".to_owned()), false));
        // Read again by kube, now and then.
        assert_eq!(user(folder.file("without", "t0k")), (None, true));
        let gone = user(folder.path("gone").into());
        assert_eq!(gone, (Some("old".to_owned()), true));
    }
}
