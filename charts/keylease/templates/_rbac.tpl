{{/* Rights to serve requests: in the whole cluster, or in a list of namespaces. */}}
{{- define "keylease.servingRules" -}}
# delete: spec.ttlAfterExpiry (src/act/request.rs, delete_request).
- apiGroups: [keylease.dev]
  resources: [awscredentialrequests]
  verbs: [delete]
# list, watch: metadata of the Secrets labelled
# app.kubernetes.io/managed-by=keylease (src/controller/secret_index.rs), and
# of those in the operator's own namespace (src/controller/concerned.rs,
# by_secret). get: metadata of a request's Secret (src/observe/mod.rs,
# secret), and with data the Secret that an AwsAccount names, in the operator's
# own namespace (src/controller/account.rs, credentials), and one whose
# credentialProcess gets a new end (src/act/secret.rs, key_beside_end).
# create, update: src/act/secret.rs, check_secret and publish_secret.
# patch, delete: the same file, amend_secret and delete_secret. patch, too, of
# the Secret that an AwsAccount with spec.rootRotation names, in the
# operator's own namespace: the new key and a marker (src/act/root_secret.rs;
# read with data by src/controller/root_rotation.rs, look).
#
# RBAC cannot say "metadata only", nor "only those that we own": this rule lets
# its holder read every Secret it covers, which is the whole cluster unless the
# chart's watchNamespaces names some. The code asks for metadata, and changes a
# Secret only on the uid of its controller owner; the admission policies hold it
# to that (admission.yaml).
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, patch, delete]
{{- if .Values.restart.enabled }}
# spec.restart of a request: a mark in the pod template of workloads in its own
# namespace (src/act/workload.rs). Not with restart.enabled=false: who may write
# requests can have them rolled.
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [patch]
{{- end }}
# Events on requests and accounts: create for a new one, patch for a repetition
# (src/act/events.rs).
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
