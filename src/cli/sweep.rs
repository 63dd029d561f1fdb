//! `keylease sweep`, and the flags of the operator's own sweep.

use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::cluster::Flags;
use super::plugin::paint::{Paint, Tint};
use super::plugin::table::{Cell, Table};
use crate::act::{Announcer, Hands, Holds, KubeCalls, Records};
use crate::aws::{Calls, Session, Signer, Tenure, http, roots};
use crate::controller::credentials;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::observe::cluster_id;
use crate::proxy::Proxies;
use crate::sweep::{Removal, Sweeper};
use keylease_api::decode::Lenient;
use keylease_api::{AwsAccount, GoDuration};
use keylease_core::plan::account;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::naming::marker_entry;
use keylease_core::plan::sign_in::SignIn;
use keylease_core::plan::sweep::guard::{Approval, Guard};
use keylease_core::plan::sweep::schedule::Schedule;
use keylease_core::plan::sweep::status::ReportState;
use keylease_core::plan::sweep::{Findings, Limits, Standing, judge};

/// Exit code when orphans are left: they would be removed, or could not be.
const LEFT: u8 = 2;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Show what would be removed and why, and change nothing.
    #[arg(long)]
    dry_run: bool,

    /// The AwsAccount to sweep. Repeatable. Default: all.
    #[arg(long = "account", value_name = "NAME")]
    accounts: Vec<String>,

    /// Remove up to so many users, however implausible their number. Look at a
    /// --dry-run first.
    #[arg(long, value_name = "COUNT")]
    approve: Option<usize>,

    /// The operator's own namespace, where the Secrets of accounts lie.
    #[arg(long, env = "POD_NAMESPACE", default_value = "keylease-system")]
    namespace: String,

    #[command(flatten)]
    limits: LimitArgs,
}

/// When the operator sweeps by itself.
#[derive(clap::Args)]
pub(super) struct SweepArgs {
    /// Time from one sweep of an AWS account to the next, give or take a tenth:
    /// IAM users that no request accounts for are removed, and keys deleted or
    /// added in AWS are noticed. Costs a call for each 1000 users and two for
    /// the credential report. 0 switches it off.
    #[arg(long, env = "KEYLEASE_SWEEP_INTERVAL", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    sweep_interval: SignedDuration,

    #[command(flatten)]
    limits: LimitArgs,
}

/// The bounds of a sweep.
#[derive(clap::Args)]
pub(super) struct LimitArgs {
    /// IAM users younger than this are left alone by a sweep.
    #[arg(long = "sweep-min-age", env = "KEYLEASE_SWEEP_MIN_AGE", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    min_age: SignedDuration,

    /// How long a sweep that finds implausibly many users without a request
    /// (more than 10 and more than a fifth, or any while there is no request at
    /// all) waits for a person before it removes them.
    #[arg(long = "sweep-patience", env = "KEYLEASE_SWEEP_PATIENCE", value_name = "DURATION", default_value = "24h", value_parser = duration)]
    patience: SignedDuration,
}

impl SweepArgs {
    /// The schedule; `None` where the sweep is switched off.
    pub fn schedule(&self) -> Option<Schedule> {
        self.sweep_interval.is_positive().then(|| Schedule {
            interval: self.sweep_interval,
            limits: self.limits.limits(),
        })
    }
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        Limits {
            min_age: self.min_age,
            patience: self.patience,
        }
    }
}

pub(super) fn run(args: Args) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    runtime.block_on(sweep_all(args))
}

async fn sweep_all(args: Args) -> Result<ExitCode, String> {
    let proxies = Proxies::from_env()?;
    let aws = http::client(proxies, &roots::find()?)?;
    let place = super::cluster::find(&Flags::default()).await;
    let client = place
        .map_err(|e| format!("no cluster to work for ({e}); set KUBECONFIG"))?
        .client;
    let metrics = Metrics::default();
    let calls = KubeCalls::new(metrics.clone());
    let cluster = cluster_id(&client, &calls).await.map_err(told)?;
    let announcer = Announcer::new(client.clone(), calls.clone(), "keylease-sweep".to_owned());
    let hands = Hands {
        client: client.clone(),
        calls: calls.clone(),
        announcer,
        holds: Holds::default(),
    };
    let sweeper = Sweeper { hands, cluster };
    let signer = Signer::over(aws, Calls::new(metrics), Leadership::alone());
    let api: Api<Lenient<AwsAccount>> = Api::all(client);
    let everything = ListParams::default();
    let listed = calls.make("list_accounts", api.list(&everything));
    let listed = listed.await.map_err(told)?.items.into_iter();
    let mut accounts: Vec<AwsAccount> = listed.map(|Lenient(account)| account).collect();
    if let Some(missing) = args
        .accounts
        .iter()
        .find(|name| accounts.iter().all(|a| a.name_any() != **name))
    {
        return Err(format!("there is no AwsAccount {missing}"));
    }
    accounts.retain(|a| args.accounts.is_empty() || args.accounts.contains(&a.name_any()));
    let mut left = 0;
    for account in &accounts {
        let name = account.name_any();
        let about = |why: String| format!("AwsAccount {name}: {why}");
        let session = sign_in(account, &args, &sweeper, &signer).await;
        let session = session.map_err(about)?;
        left += sweep(account, &session, &args, &sweeper)
            .await
            .map_err(|fault| format!("AwsAccount {name}: {}", fault.message))?;
    }
    Ok(if left == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(LEFT)
    })
}

async fn sign_in(
    account: &AwsAccount,
    args: &Args,
    sweeper: &Sweeper,
    signer: &Signer,
) -> Result<Session, String> {
    let Hands { client, calls, .. } = &sweeper.hands;
    let found = credentials(account, client, &args.namespace, calls).await;
    let (credentials, _) = found.map_err(told)?;
    let candidate = signer.prepare(credentials?, &account.spec).await;
    let outcome = candidate.identify().await;
    let verdict = account::judge(account, &outcome);
    match outcome {
        SignIn::Identity { account_id, arn } if verdict.ready => {
            let facts = account::facts(account, &account_id, &arn, candidate.region());
            Ok(candidate.session(facts, Tenure::assumed()))
        }
        _ => Err(verdict.message),
    }
}

/// Sweeps one account; how many orphans are left.
async fn sweep(
    account: &AwsAccount,
    session: &Session,
    args: &Args,
    sweeper: &Sweeper,
) -> Result<usize, Fault> {
    let gathered = sweeper.gather(session).await?;
    let halted = account.status.as_ref().and_then(|s| s.sweep_halt.as_ref());
    let approval = args.approve.map(Approval::Count);
    let findings = judge(
        &gathered.picture,
        args.limits.limits(),
        halted,
        approval.or_else(|| Approval::on(account)),
        Timestamp::now(),
    );
    show(&account.name_any(), &findings, &gathered.report);
    if args.dry_run || findings.guard.halts() {
        return Ok(findings.orphans().count());
    }
    alone(session, args, sweeper).await?;
    let mut left = 0;
    for user in findings.orphans() {
        let (gone, what) = match sweeper.remove(user, session).await {
            Ok(Removal::Removed) => (true, "removed".to_owned()),
            Ok(Removal::Gone) => (true, "gone already".to_owned()),
            Ok(Removal::Claimed) => (
                true,
                "left alone: its request is there after all".to_owned(),
            ),
            Ok(Removal::NotOurs(why)) => (false, format!("left alone: {why}")),
            Err(fault) => (false, format!("not removed: {}", fault.message)),
        };
        left += usize::from(!gone);
        println!("{}: {what}", user.name);
    }
    Ok(left)
}

/// Whether the users here are this cluster's to remove: a copy of the cluster has
/// the same id, and knows less of its requests.
async fn alone(session: &Session, args: &Args, sweeper: &Sweeper) -> Result<(), Fault> {
    let Hands { client, calls, .. } = &sweeper.hands;
    let records = Records::new(client.clone(), &args.namespace, calls.clone());
    let name = marker_entry(
        &sweeper.cluster,
        &session.facts.account_id,
        &session.facts.path,
    );
    let record = records.all().await?.remove(&name);
    let marker = session.marker(&sweeper.cluster).await?;
    let held = match (&record, &marker) {
        // No operator that keeps a marker has run here.
        (None, None) => true,
        (Some(record), Some(marker)) => {
            record.stopped.is_none() && record.knows(marker.epoch.as_ref())
        }
        _ => false,
    };
    match held {
        true => Ok(()),
        false => Err(Fault {
            class: FaultClass::Refused,
            message: "another cluster works with this cluster's id in the AWS account, or nobody \
                      knows yet; nothing is removed. The condition Unique of the AwsAccount says \
                      more"
                .to_owned(),
        }),
    }
}

/// Shows what was found; users that requests account for as a number only.
fn show(account: &str, findings: &Findings, report: &ReportState) {
    let mut table = Table::new(&["USER", "CREATED", "VERDICT", "WHY"]);
    let unclaimed = findings.users.iter();
    for (user, standing) in unclaimed.filter(|(_, s)| *s != Standing::Claimed) {
        let verdict = match (standing, &findings.guard) {
            (Standing::Orphan, Guard::Halted(_)) => Cell::tinted("halted", Tint::Bad),
            (Standing::Orphan, _) => Cell::tinted("remove", Tint::Warn),
            _ => "keep".into(),
        };
        let created = user.created.to_string();
        let why = standing.explain();
        table.row(vec![
            (&user.name).into(),
            created.into(),
            verdict,
            why.into(),
        ]);
    }
    for suspect in &findings.suspects {
        let request = format!("{}/{}", suspect.namespace, suspect.name);
        let verdict = Cell::tinted("look", Tint::Warn);
        table.row(vec![
            request.into(),
            "".into(),
            verdict,
            suspect.kind.explain().into(),
        ]);
    }
    let orphans = findings.orphans().count();
    let users = findings.users.len();
    println!("AwsAccount {account}: {users} IAM users, {orphans} without a request");
    if let ReportState::Missing(why) = report {
        println!("Keys were not compared, for want of the credential report: {why}");
    }
    if !table.is_empty() {
        print!("{}", table.render("", Paint::stdout()));
    }
    if findings.guard.halts() {
        println!(
            "That is more than is plausible, so none is removed. If they may go: \
             keylease sweep --account {account} --approve {orphans}"
        );
    }
}

fn told(fault: Fault) -> String {
    fault.message
}

pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration = GoDuration::from(text).get().map_err(|e| e.to_string())?;
    if duration.is_negative() {
        return Err("a duration cannot be negative".to_owned());
    }
    Ok(duration)
}
