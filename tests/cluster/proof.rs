//! A key is given to people when AWS knows it: at more than one server, and also
//! where AWS denies it the question.

use std::time::Duration;

use keylease_testbed::aws::{Fault, FaultKind, KeyDelay};
use serde_json::json;

use crate::harness::{LATER, SOON, Scene, Story, caller_of, condition};

/// Two servers of AWS learn of a key at their own times, and a connection leads to
/// one of them: the first that says yes does not speak for the other.
#[tokio::test(flavor = "multi_thread")]
async fn one_yes_of_one_server_is_not_enough() -> Story {
    let scene = Scene::with_env("servers", &[]).await?;
    scene.role(json!({})).await?;
    let aws = &scene.bed.aws;
    let apart = KeyDelay::flapping(Duration::ZERO, Duration::from_secs(3), 2);
    aws.set_config(|config| config.key_delay = apart);
    for name in ["one", "two", "three"] {
        scene.request(name, json!({})).await?;
        scene.ready_within(name, LATER).await?;
        let secret = scene.secret(name).await?.expect("a Secret");
        for connection in 0..4 {
            let caller = caller_of(&secret, &aws.endpoint()).await;
            assert!(caller.is_ok(), "{name}, {connection}: {caller:?}");
        }
        let keys = scene
            .operations(name)
            .iter()
            .filter(|op| *op == "CreateAccessKey")
            .count();
        assert_eq!(keys, 1);
    }
    Ok(())
}

/// The policy of an endpoint, or of the organization, denies STS to the users that
/// are made: AWS knows the key, so it is delivered, once, and that is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_sts_is_denied_to_is_delivered_and_told() -> Story {
    let scene = Scene::with_env("denied-proof", &[]).await?;
    scene.role(json!({})).await?;
    let aws = &scene.bed.aws;
    // The operator itself is signed in.
    scene.request("before", json!({})).await?;
    scene.ready_within("before", SOON).await?;
    let denied = Fault::on("GetCallerIdentity", FaultKind::access_denied());
    aws.add_fault(denied);
    scene.request("app", json!({})).await?;
    let ready = scene.ready_within("app", SOON).await?;
    let usable = condition(&ready, "Usable").expect("a condition");
    assert_eq!(
        (usable.status.as_str(), usable.reason.as_str()),
        ("True", "ProofDenied")
    );
    assert!(
        usable.message.contains("service control policies"),
        "{}",
        usable.message
    );
    let told = condition(&ready, "Ready").expect("a condition");
    assert!(
        told.message.contains("denies sts:GetCallerIdentity"),
        "{}",
        told.message
    );
    let made = scene
        .operations("app")
        .iter()
        .filter(|op| *op == "CreateAccessKey")
        .count();
    assert_eq!(made, 1);
    Ok(())
}
