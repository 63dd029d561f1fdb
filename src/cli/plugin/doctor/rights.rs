//! Whether the person may do what each command does.

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::super::client::Session;
use super::Finding;

/// What a command needs: group, resource, verbs, and whether in the namespace.
struct Need {
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    namespaced: bool,
}

const fn request(verbs: &'static [&'static str]) -> Need {
    let (group, resource) = ("keylease.dev", "awscredentialrequests");
    Need {
        group,
        resource,
        verbs,
        namespaced: true,
    }
}

const fn role(verbs: &'static [&'static str]) -> Need {
    let (group, resource) = ("keylease.dev", "awsroles");
    Need {
        group,
        resource,
        verbs,
        namespaced: false,
    }
}

const fn core(resource: &'static str, verbs: &'static [&'static str]) -> Need {
    Need {
        group: "",
        resource,
        verbs,
        namespaced: true,
    }
}

/// The commands, and whether a person can hardly do without.
const COMMANDS: [(&str, bool, &[Need]); 7] = [
    (
        "issue and exec",
        true,
        &[
            request(&["create", "get", "list", "watch", "delete"]),
            core("secrets", &["get"]),
        ],
    ),
    ("leases", true, &[request(&["list"])]),
    (
        "describe",
        false,
        &[request(&["get"]), core("events", &["list"])],
    ),
    (
        "renew and rotate",
        false,
        &[request(&["get", "list", "watch", "patch"])],
    ),
    (
        "revoke NAME",
        true,
        &[request(&["get", "list", "watch", "delete"])],
    ),
    ("roles", false, &[role(&["list"])]),
    (
        "revoke --role and --all",
        false,
        &[role(&["get", "list", "patch"])],
    ),
];

/// Asks the API server for each command.
pub(super) async fn check(session: &Session) -> Vec<Finding> {
    let checks = COMMANDS
        .iter()
        .map(|(command, vital, needs)| one(session, command, *vital, needs));
    join_all(checks).await
}

async fn one(session: &Session, command: &str, vital: bool, needs: &[Need]) -> Finding {
    let questions = needs
        .iter()
        .flat_map(|need| need.verbs.iter().map(move |verb| (need, *verb)));
    let answers = join_all(questions.map(|(need, verb)| ask(session, need, verb))).await;
    let missing: Vec<String> = answers.into_iter().flatten().collect();
    if missing.is_empty() {
        return Finding::ok(format!("you may use {command}"));
    }
    let what = format!("you may not use {command}");
    let remedy = format!("ask for the right to {}", missing.join(", "));
    if vital {
        Finding::fail(what, remedy)
    } else {
        Finding::warn(what, remedy)
    }
}

/// What is missing, in words; `None` when the right is there.
async fn ask(session: &Session, need: &Need, verb: &str) -> Option<String> {
    let Need {
        group,
        resource,
        verbs: _,
        namespaced,
    } = need;
    let attributes = ResourceAttributes {
        group: Some((*group).to_owned()),
        resource: Some((*resource).to_owned()),
        verb: Some(verb.to_owned()),
        namespace: namespaced.then(|| session.namespace.clone()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(session.client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    if answer.is_ok_and(|a| a.status.is_some_and(|s| s.allowed)) {
        return None;
    }
    let place = if *namespaced {
        format!("in namespace {}", session.namespace)
    } else {
        "in the cluster".to_owned()
    };
    Some(format!("{verb} {resource} {place}"))
}
