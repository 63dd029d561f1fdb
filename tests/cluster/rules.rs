//! The table of `tests/common_rules` against a real API server: its schema
//! check, its CEL, its cost limits.

use keylease_testbed::ControlPlane;

use crate::common_rules::grown::{Garden, unreadable};
use crate::common_rules::{Kind, cases, updates};
use crate::harness::{Bed, Scene, Settings, Story};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// Objects of each kind that are offered to the API server.
const GROWN: usize = 400;

/// Applies many objects at once, which kubectl answers one by one: the text of
/// all answers and refusals.
async fn dry_run(cluster: &ControlPlane, objects: &[Value]) -> String {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    // One field manager a call, and no client-side opinion on fields.
    let args = [
        "create",
        "--dry-run=server",
        "--validate=false",
        "-n",
        "default",
        "-f",
        "-",
    ];
    match cluster.kubectl_stdin(&args, &list.to_string()).await {
        Ok(answers) => answers,
        Err(error) => format!("{error:#}"),
    }
}

/// Every valid object of the table is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_what_is_valid() -> Story {
    let bed = Bed::shared().await?;
    let cases = cases();
    let objects: Vec<Value> = (0..)
        .zip(&cases)
        .map(|(n, case)| case.kind.object(&format!("good-{n}"), &case.good))
        .collect();
    let answers = dry_run(&bed.cluster, &objects).await;
    for (n, case) in cases.iter().enumerate() {
        let accepted = format!("/good-{n} created");
        assert!(
            answers.contains(&accepted),
            "refused {}: {answers}",
            case.good
        );
    }
    Ok(())
}

/// Every invalid object is refused, and the refusal says what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_refuses_what_is_not() -> Story {
    let bed = Bed::shared().await?;
    let cases = cases();
    let objects: Vec<Value> = (0..)
        .zip(&cases)
        .map(|(n, case)| case.kind.object(&format!("bad-{n}"), &case.bad))
        .collect();
    let answers = dry_run(&bed.cluster, &objects).await;
    let mut surprises = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let (kind, says) = (case.kind.name(), case.says);
        let name = format!("\"bad-{n}\" is invalid:");
        // From this object's refusal up to the next object's.
        let refusal = answers.split("The ").find(|text| text.contains(&name));
        if !refusal.is_some_and(|text| text.contains(says)) {
            surprises.push(format!(
                "{kind} {} ({:?}): {refusal:?}, not {says:?}",
                case.bad, case.by
            ));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    Ok(())
}

/// What must not change cannot be changed, and everything else can.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_guards_what_must_not_change() -> Story {
    let bed = Bed::shared().await?;
    let cluster = &bed.cluster;
    cluster
        .kubectl(&["create", "namespace", "rules-update"])
        .await?;
    let mut surprises = Vec::new();
    for (n, update) in updates().iter().enumerate() {
        let name = format!("update-{n}");
        let apply = |change: &Value| {
            let object = update.kind.object(&name, change).to_string();
            async move {
                let args = ["apply", "-n", "rules-update", "-f", "-"];
                cluster.kubectl_stdin(&args, &object).await
            }
        };
        apply(&update.from).await?;
        if let Err(error) = apply(&update.good).await {
            surprises.push(format!("refused {}: {error:#}", update.good));
        }
        apply(&update.from).await?;
        match apply(&update.bad).await {
            Err(error) if format!("{error:#}").contains(update.says) => {}
            other => surprises.push(format!("{}: {other:?}", update.bad)),
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    Ok(())
}

/// Whatever the API server stores can be read: objects that grow from the
/// schemas are offered, and those that are taken come back and decode as a
/// whole. A status may be read in part, and never fails.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_stored_can_be_read() -> Story {
    let scene = Scene::alone(Settings::default(), "rules-grown").await?;
    scene.kill().await?;
    let params = PostParams::default();
    let first = fastrand::u64(..u64::MAX / 2);
    for kind in [Kind::Account, Kind::Role, Kind::Request] {
        let api = scene.untyped(kind.name());
        let garden = Garden::of(kind);
        let mut taken = 0;
        for n in 0..GROWN {
            let seed = first + n as u64;
            let name = format!("grown-{n}");
            let object: DynamicObject = serde_json::from_value(garden.object(seed, &name))?;
            let Ok(stored) = api.create(&params, &object).await else {
                continue;
            };
            taken += 1;
            let stored = serde_json::to_value(&stored)?;
            let read = unreadable(kind, stored.clone());
            assert_eq!(read, Ok(None), "seed {seed}: {stored}");
            let status = json!({"status": garden.status(seed)});
            let patch = Patch::Merge(&status);
            let patched = api
                .patch_status(&name, &PatchParams::default(), &patch)
                .await;
            if let Ok(patched) = patched {
                let patched = serde_json::to_value(&patched)?;
                let read = unreadable(kind, patched.clone());
                assert!(read.is_ok(), "seed {seed}: {read:?}: {patched}");
            }
        }
        assert!(
            taken > GROWN / 20,
            "seed {first}: only {taken} of {kind:?} were taken"
        );
    }
    Ok(())
}
