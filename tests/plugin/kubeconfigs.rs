//! The way to the cluster: kubeconfigs of several files, proxies, sign-ins.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use k8s_openapi::ByteString;
use keylease_testbed::{ForwardProxy, SocksProxy};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::bed::{PLUGIN, Said, Scene};

/// A name of the API server that no server of names knows.
const NAME: &str = "api.k8s.test";

/// A person's folder with kubeconfigs.
struct Home<'a> {
    scene: &'a Scene,
    folder: TempDir,
}

impl<'a> Home<'a> {
    fn of(scene: &'a Scene) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self { scene, folder })
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().context("it has a folder")?)?;
        fs::write(&path, text)?;
        Ok(path)
    }

    fn program(&self, name: &str, script: &str) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(name, &format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The cluster under a name of its own, behind what this adds.
    fn cluster(&self, more: &Value) -> Result<Value> {
        let mut cluster = json!({
            "server": self.scene.bed.cluster.server_url().replace("127.0.0.1", NAME),
            "certificate-authority": "ca.crt",
            "tls-server-name": "localhost",
        });
        merge(&mut cluster, more);
        self.write("ca.crt", &self.scene.bed.cluster.ca_pem())?;
        Ok(cluster)
    }

    /// One file with this cluster and this user.
    fn kubeconfig(&self, cluster: &Value, user: &Value) -> Result<PathBuf> {
        let file = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
        });
        self.write("config", &file.to_string())
    }

    /// How the administrator signs in.
    fn admin(&self) -> Result<Value> {
        let text = fs::read_to_string(self.scene.bed.cluster.kubeconfig())?;
        let file: Value = serde_json::from_str(&text)?;
        Ok(file["users"][0]["user"].clone())
    }

    /// A token that opens everything.
    async fn token(&self) -> Result<String> {
        let (cluster, name) = (&self.scene.bed.cluster, self.scene.name.as_str());
        cluster
            .kubectl(&["create", "serviceaccount", "me", "-n", name])
            .await?;
        let subject = format!("--serviceaccount={name}:me");
        let admin = "--clusterrole=cluster-admin";
        cluster
            .kubectl(&["create", "clusterrolebinding", name, admin, &subject])
            .await?;
        cluster.service_account_token(name, "me").await
    }
}

fn merge(into: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

fn fine(said: &Said) {
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// Files that are not there are skipped, what is empty leaves room for a later
/// file, and paths are relative to the file that names them.
#[tokio::test]
async fn several_files_are_one_kubeconfig() -> Result<()> {
    let scene = Scene::set("k-files").await?;
    let home = Home::of(&scene)?;
    home.write("one/pki/ca.crt", &scene.bed.cluster.ca_pem())?;
    home.write("two/token", &format!("{}\n", home.token().await?))?;
    let one = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "",
        "clusters": [{"name": "c", "cluster": {
            "server": scene.bed.cluster.server_url(),
            "certificate-authority": "pki/ca.crt", "proxy-url": "",
        }}],
    });
    let two = json!({
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "https://other.test"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [
            {"name": "u", "user": {"token": "", "tokenFile": "token"}},
            {"name": "v", "user": {"token": "nonsense"}},
        ],
    });
    let files = [
        PathBuf::from("/no/such/file"),
        home.write("one/config", &one.to_string())?,
        home.write("two/config", &two.to_string())?,
    ];
    let list = std::env::join_paths(&files)?;
    let said = Said::of(scene.plugin_as(Path::new(&list), &["leases"])).await?;
    fine(&said);
    // The flags of kubectl choose another user, and name what there is not.
    for (flags, told) in [
        (["--user", "v"], "does not accept your sign-in"),
        (["--user", "w"], "no user \"w\""),
        (["--cluster", "w"], "no cluster \"w\""),
    ] {
        let args = [&flags[..], &["leases"]].concat();
        let said = Said::of(scene.plugin_as(Path::new(&list), &args)).await?;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(told), "{said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_proxy_of_the_kubeconfig_is_used_whatever_the_environment_says() -> Result<()> {
    let scene = Scene::set("k-proxy").await?;
    let home = Home::of(&scene)?;
    let (http, socks) = (ForwardProxy::start().await?, SocksProxy::start().await?);
    for url in [
        format!("http://user:hunter2@{}", http.addr()),
        format!("socks5://{}", socks.addr()),
    ] {
        let cluster = home.cluster(&json!({"proxy-url": url}))?;
        let mut command = scene.plugin_as(&home.kubeconfig(&cluster, &home.admin()?)?, &["leases"]);
        command
            .env("NO_PROXY", "*")
            .env("HTTPS_PROXY", "http://127.0.0.1:1");
        fine(&Said::of(command).await?);
    }
    let asked = http.asked().concat();
    assert!(asked.starts_with(&format!("CONNECT {NAME}:")), "{asked}");
    assert!(asked.contains("dXNlcjpodW50ZXIy"), "{asked}");
    let asked = socks.asked();
    assert!(asked.iter().all(|to| to.starts_with(NAME)), "{asked:?}");
    ensure!(!asked.is_empty(), "the socks proxy was not asked");
    // What cannot be used is told without the password.
    let cluster = home.cluster(&json!({"proxy-url": "socks5://u:hunter2@127.0.0.1"}))?;
    let config = home.kubeconfig(&cluster, &home.admin()?)?;
    let said = Said::of(scene.plugin_as(&config, &["leases"])).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("proxy-url of the kubeconfig"), "{said:?}");
    assert!(!said.err.contains("hunter2"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn no_proxy_is_asked_about_the_server() -> Result<()> {
    let scene = Scene::set("k-env").await?;
    let home = Home::of(&scene)?;
    let proxy = ForwardProxy::start().await?;
    let config = home.kubeconfig(&home.cluster(&json!({}))?, &home.admin()?)?;
    let run = |none: &'static str| {
        let mut command = scene.plugin_as(&config, &["leases"]);
        command
            .env("https_proxy", proxy.addr())
            .env("ALL_PROXY", "socks4://nonsense")
            .env("NO_PROXY", none);
        Said::of(command)
    };
    // Neither the proxy's own address nor an empty entry says anything.
    for none in ["", "127.0.0.1,,10.0.0.0/8,other.test,"] {
        fine(&run(none).await?);
    }
    let asked = proxy.asked().len();
    ensure!(asked >= 2, "the proxy was asked {asked} times");
    // Directly there is no way to that name.
    for none in ["k8s.test", ".k8s.test", "*"] {
        let said = run(none).await?;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("cannot reach the API server"), "{said:?}");
    }
    assert_eq!(proxy.asked().len(), asked);
    Ok(())
}

/// The program of the kubeconfig signs in once, sees what it needs and no leased
/// key, and leaves standard input to whom it is for.
#[tokio::test]
async fn a_program_signs_in_once() -> Result<()> {
    let scene = Scene::set("k-exec").await?;
    let home = Home::of(&scene)?;
    let answer = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": home.token().await?, "expirationTimestamp": "2999-01-01T00:00:00Z"},
    });
    home.write("bin/answer", &answer.to_string())?;
    let script = "cd \"$(dirname \"$0\")\"; cat >/dev/null
        echo \"$1 $OWN ${AWS_ACCESS_KEY_ID-none} $KUBERNETES_EXEC_INFO\" >>runs; cat answer";
    home.program("bin/sign-in", script)?;
    let user = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "bin/sign-in",
        "args": ["argument"], "env": [{"name": "OWN", "value": "own"}],
        "interactiveMode": "IfAvailable", "provideClusterInfo": true,
    }});
    let server = json!({"server": scene.bed.cluster.server_url()});
    let config = home.kubeconfig(&home.cluster(&server)?, &user)?;
    let mut command = scene.plugin_as(&config, &["exec", &scene.name, "--", "cat"]);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIALEASED")
        .env("KEYLEASE_ACCESS_KEY_ID", "AKIALEASED")
        .stdin(std::process::Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("it has a stdin")?;
    stdin.write_all(b"for the command\n").await?;
    drop(stdin);
    let said: Said = child.wait_with_output().await?.try_into()?;
    fine(&said);
    assert_eq!(said.out, "for the command\n", "{said:?}");
    let runs = home.lines("bin/runs");
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert!(runs[0].starts_with("argument own none {"), "{runs:?}");
    let info: Value = serde_json::from_str(runs[0].trim_start_matches("argument own none "))?;
    assert_eq!(info["spec"]["interactive"], false);
    assert_eq!(info["spec"]["cluster"]["server"], server["server"]);
    scene.empty().await
}

/// A token that is about to end is asked for again, and a certificate does too.
#[tokio::test]
async fn what_the_program_answers_is_used() -> Result<()> {
    let scene = Scene::set("k-answers").await?;
    let home = Home::of(&scene)?;
    let admin = home.admin()?;
    let pem = |field: &str| -> Result<String> {
        let ByteString(pem) = serde_json::from_value(admin[field].clone())?;
        Ok(String::from_utf8(pem)?)
    };
    let program = home.program(
        "sign-in",
        "cd \"$(dirname \"$0\")\"; echo run >>runs; cat answer",
    )?;
    let server = json!({"server": scene.bed.cluster.server_url()});
    let config = home.kubeconfig(
        &home.cluster(&server)?,
        &json!({"exec": {"command": program}}),
    )?;
    let short =
        json!({"token": home.token().await?, "expirationTimestamp": "2020-01-01T00:00:00Z"});
    let certificate = json!({
        "clientCertificateData": pem("client-certificate-data")?,
        "clientKeyData": pem("client-key-data")?,
    });
    for (status, runs) in [(short, 2), (certificate, 3)] {
        home.write("answer", &json!({"status": status}).to_string())?;
        fine(&Said::of(scene.plugin_as(&config, &["leases"])).await?);
        assert_eq!(home.lines("runs").len(), runs);
    }
    for (answer, told) in [
        (
            "{\"status\": {\"token\": \"hunter2",
            "answered with no ExecCredential",
        ),
        ("{}", "answered with no ExecCredential"),
    ] {
        home.write("answer", answer)?;
        let said = Said::of(scene.plugin_as(&config, &["leases"])).await?;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(told), "{said:?}");
        assert!(!said.err.contains("hunter2"), "{said:?}");
    }
    Ok(())
}

/// A shell that took a lease goes on with the plugin, whatever the sign-in reads.
#[tokio::test]
async fn the_shell_that_took_a_lease_can_give_it_back() -> Result<()> {
    let scene = Scene::set("k-shell").await?;
    let home = Home::of(&scene)?;
    home.write("token", &home.token().await?)?;
    // As `aws eks get-token`: keys in the environment are somebody else.
    let script = "token=$(cat \"$(dirname \"$0\")/token\")
        test -z \"$AWS_ACCESS_KEY_ID\" || token=somebody-else
        echo '{\"status\": {\"token\": \"'$token'\"}}'";
    let program = home.program("sign-in", script)?;
    let server = json!({"server": scene.bed.cluster.server_url()});
    let user = json!({"exec": {"command": program}});
    let config = home.kubeconfig(&home.cluster(&server)?, &user)?;
    let script = r#"set -e
        eval "$("$0" issue "$1" -n "$1" --name mine)"
        test -n "$AWS_ACCESS_KEY_ID"
        "$0" leases -n "$1" && "$0" revoke mine -n "$1" --yes"#;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, PLUGIN, &scene.name])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KUBECONFIG", config)
        .kill_on_drop(true);
    fine(&Said::of(shell).await?);
    scene.empty().await
}

/// The profile that the kubeconfig signs in with runs the plugin, which signs in
/// by the kubeconfig: that ends at once, with what to change.
#[tokio::test]
async fn a_sign_in_that_calls_us_does_not_go_on_for_ever() -> Result<()> {
    let scene = Scene::set("k-loop").await?;
    let home = Home::of(&scene)?;
    let script = format!(
        "cd \"$(dirname \"$0\")\"; echo run >>runs
        test \"$(grep -c run runs)\" -lt 20 || exit 9
        exec {PLUGIN} issue {} -n {} --name x --reuse --output process",
        scene.name, scene.name
    );
    let program = home.program("sign-in", &script)?;
    let server = json!({"server": scene.bed.cluster.server_url()});
    let user = json!({"exec": {"command": program}});
    let config = home.kubeconfig(&home.cluster(&server)?, &user)?;
    let said = Said::of(scene.plugin_as(&config, &["leases"])).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    let told = "give it a profile of its own: --profile NAME";
    assert!(said.err.contains(told), "{said:?}");
    assert_eq!(home.lines("runs").len(), 1, "{said:?}");
    // Another cluster's sign-in may call us: a hub that leases for its spokes.
    let hub = scene.bed.cluster.kubeconfig().display();
    let script = format!(
        "{PLUGIN} --kubeconfig {hub} -n {} leases >&2
        echo '{{\"status\": {{\"token\": \"somebody\"}}}}'",
        scene.name
    );
    home.program("sign-in", &script)?;
    let said = Said::of(scene.plugin_as(&config, &["leases"])).await?;
    assert!(
        said.err.contains("does not accept your sign-in"),
        "{said:?}"
    );
    assert!(!said.err.contains(told), "{said:?}");
    Ok(())
}
