//! `kubectl keylease doctor`: what is wrong, and what to do about it.

mod cluster;
mod definitions;
mod operator;
mod rights;

use jiff::Timestamp;

use super::client::Target;
use super::error::Failure;
use super::paint::{self, Paint, Tint, one_line};

/// Check the cluster, the operator and your rights.
///
/// Each check ends in ok, warn or FAIL and what to do. Exit code 1 if one
/// fails.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Look for stuck requests in all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// The operator's namespace. Default: all that you may list Deployments in,
    /// else keylease-system.
    #[arg(long, value_name = "NAME")]
    operator_namespace: Option<String>,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was checked.
#[derive(Debug)]
struct Finding {
    level: Level,
    /// What was looked at and what was seen.
    what: String,
    /// What to do, unless all is well.
    remedy: String,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Self {
        Self::new(Level::Ok, what, "")
    }

    fn warn(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Level::Warn, what, remedy)
    }

    fn fail(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Level::Fail, what, remedy)
    }

    fn new(level: Level, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (what, remedy) = (what.into(), remedy.into());
        Self {
            level,
            what,
            remedy,
        }
    }

    fn render(&self, paint: Paint) -> String {
        let word = match self.level {
            Level::Ok => paint.tint(Tint::Good, "ok  "),
            Level::Warn => paint.tint(Tint::Warn, "warn"),
            Level::Fail => paint.tint(Tint::Bad, "FAIL"),
        };
        let mut text = format!("{word}  {}\n", one_line(&self.what));
        if !self.remedy.is_empty() {
            text.push_str(&format!("      -> {}\n", one_line(&self.remedy)));
        }
        text
    }
}

pub(super) async fn run(args: Args, target: Target) -> Result<u8, Failure> {
    let Args {
        all_namespaces,
        operator_namespace,
    } = args;
    let session = target.session().await?;
    let version = session.client.apiserver_version().await;
    let version = version.map_err(|e| {
        Failure::new(format!(
            "the API server does not answer: {e}; check --context and your sign-in"
        ))
    })?;
    let mut findings = vec![Finding::ok(format!("API server {}", version.git_version))];
    let installed = definitions::check(&session).await;
    let usable = installed.iter().all(|f| f.level != Level::Fail);
    findings.extend(installed);
    findings.extend(rights::check(&session).await);
    // Without definitions there is nothing that could be listed.
    if usable {
        let now = Timestamp::now();
        findings.extend(cluster::accounts(&session).await);
        findings.extend(cluster::roles(&session).await);
        findings.extend(cluster::requests(&session, all_namespaces, now).await);
    }
    findings.extend(operator::check(&session, operator_namespace.as_deref()).await);
    let paint = Paint::stdout();
    let text: String = findings.iter().map(|f| f.render(paint)).collect();
    paint::print(&text)?;
    let failed = findings.iter().any(|f| f.level == Level::Fail);
    Ok(u8::from(failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_what_to_do() {
        let finding = Finding::fail("AwsAccount default: no\nanswer", "look at the network");
        assert_eq!(
            finding.render(Paint::none()),
            "FAIL  AwsAccount default: no answer\n      -> look at the network\n"
        );
        assert_eq!(Finding::ok("fine").render(Paint::none()), "ok    fine\n");
    }
}
