//! What platforms ask of a pod, imitated: the chart's defaults are admitted there.

use anyhow::{Result, ensure};
use keylease_testbed::operator::NAMESPACE;
use keylease_testbed::{ControlPlane, wait};
use serde_json::Value;

use crate::chart::{CHART, established, foreign_kinds, install};
use crate::harness::{Begin, SOON, Story, begin};

/// By this kind the chart knows that it is on OpenShift.
const CONSTRAINTS: [(&str, &str, &str); 1] = [(
    "security.openshift.io",
    "SecurityContextConstraints",
    "securitycontextconstraints",
)];

/// What `restricted-v2` refuses, as far as a policy can say it: users and groups
/// out of the namespace's range, whatever the pod shares with its node, and
/// volumes of other kinds. The real one also fills in what a pod leaves open.
const RESTRICTED_V2: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: restricted-v2}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  variables:
    - name: users
      expression: >-
        object.spec.containers.map(c, c.?securityContext.?runAsUser.orValue(1000650000)) +
        [object.spec.?securityContext.?runAsUser.orValue(1000650000)]
    - name: groups
      expression: >-
        [object.spec.?securityContext.?fsGroup.orValue(1000650000)] +
        object.spec.?securityContext.?supplementalGroups.orValue([])
  validations:
    - expression: variables.users.all(u, u >= 1000650000 && u < 1000660000)
      message: "runAsUser: must be in the ranges: [1000650000, 1000659999]"
    - expression: variables.groups.all(g, g >= 1000650000 && g < 1000660000)
      message: "fsGroup: must be in the ranges: [1000650000, 1000659999]"
    - expression: >-
        object.spec.containers.all(c,
        !c.?securityContext.?allowPrivilegeEscalation.orValue(true) &&
        !c.?securityContext.?privileged.orValue(false) &&
        'ALL' in c.?securityContext.?capabilities.?drop.orValue([]))
      message: "capabilities: ALL has to be dropped, and privileges cannot be gained"
    - expression: >-
        !object.spec.?hostNetwork.orValue(false) && !object.spec.?hostPID.orValue(false) &&
        object.spec.containers.all(c, c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0))
      message: "hostNetwork: is not allowed"
    - expression: >-
        object.spec.?volumes.orValue([]).all(v, has(v.configMap) || has(v.secret) ||
        has(v.emptyDir) || has(v.projected) || has(v.downwardAPI))
      message: "volumes: only configMap, secret, emptyDir, projected and downwardAPI"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: restricted-v2}
spec:
  policyName: restricted-v2
  validationActions: [Deny]
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: keylease-system}}
"#;

/// A pod as most charts have it.
const NUMBERED: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: keylease-system}
spec:
  securityContext: {runAsUser: 65532}
  containers:
    - name: a
      image: a
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"#;

/// A cluster that says it is OpenShift, and refuses what OpenShift refuses.
async fn imitate_openshift(cluster: &ControlPlane) -> Result<()> {
    cluster.kubectl(&["create", "namespace", NAMESPACE]).await?;
    cluster.kubectl_apply(&foreign_kinds(&CONSTRAINTS)).await?;
    cluster.kubectl_apply(RESTRICTED_V2).await?;
    established(cluster).await?;
    wait::until_ok("the policy", SOON, || async {
        let args = ["create", "--dry-run=server", "-f", "-"];
        let Err(refusal) = cluster.kubectl_stdin(&args, NUMBERED).await else {
            anyhow::bail!("taken");
        };
        let refusal = format!("{refusal:#}");
        ensure!(refusal.contains("runAsUser: must be in"), "{refusal}");
        Ok(())
    })
    .await
}

/// What the operator's ReplicaSet has come to.
async fn replica_set(cluster: &ControlPlane) -> Result<Value> {
    let get = ["get", "replicasets", "-n", NAMESPACE, "-o", "json"];
    let list: Value = serde_json::from_str(&cluster.kubectl(&get).await?)?;
    let Some([only]) = list["items"].as_array().map(Vec::as_slice) else {
        anyhow::bail!("not one ReplicaSet: {list}");
    };
    Ok(only["status"].clone())
}

/// `helm install` with no values: the pods name no user where the cluster gives
/// one, and are admitted.
#[tokio::test(flavor = "multi_thread")]
async fn openshift_admits_the_operator_as_it_comes() -> Story {
    let cluster = begin(Begin::Empty).await?;
    imitate_openshift(&cluster).await?;
    install(&cluster, &[]).await?;
    wait::until_ok("two pods", SOON, || async {
        let status = replica_set(&cluster).await?;
        ensure!(status["replicas"] == 2, "{status}");
        ensure!(status["conditions"].is_null(), "{status}");
        Ok(())
    })
    .await?;
    // The pod of `helm test` is one that is admitted, too.
    let test = ["template", "keylease", CHART, "-n", NAMESPACE];
    let served = ["--api-versions", "security.openshift.io/v1"];
    let test = [&test[..], &served, &["-s", "templates/tests/sign-in.yaml"]].concat();
    let test = cluster.helm(&test).await?;
    let create = ["create", "--dry-run=server", "-f", "-"];
    cluster.kubectl_stdin(&create, &test).await?;
    Ok(())
}

/// The imitation is worth something: without the adaptation no pod is admitted.
#[tokio::test(flavor = "multi_thread")]
async fn openshift_refuses_the_user_that_others_need() -> Story {
    let cluster = begin(Begin::Empty).await?;
    imitate_openshift(&cluster).await?;
    install(&cluster, &["--set=openshift.adaptSecurityContext=disabled"]).await?;
    wait::until_ok("a refusal", SOON, || async {
        let status = replica_set(&cluster).await?;
        let said = status["conditions"][0]["message"].as_str();
        let said = said.unwrap_or_default();
        ensure!(said.contains("runAsUser: must be in"), "{status}");
        ensure!(status["replicas"] == 0, "{status}");
        Ok(())
    })
    .await?;
    Ok(())
}
