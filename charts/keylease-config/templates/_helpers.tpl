{{/* One object: (dict "root" . "kind" … "name" … "spec" …). It outlives the release
and the list of values: deleting it revokes its leases, so a person does that. */}}
{{- define "keylease-config.object" -}}
apiVersion: keylease.dev/v1alpha1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  labels:
    app.kubernetes.io/name: keylease-config
    app.kubernetes.io/instance: {{ .root.Release.Name }}
    app.kubernetes.io/managed-by: {{ .root.Release.Service }}
    helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
    {{- with .root.Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    helm.sh/resource-policy: keep
    argocd.argoproj.io/sync-options: Prune=false,Delete=false
    kustomize.toolkit.fluxcd.io/prune: disabled
spec:
  {{- toYaml .spec | nindent 2 }}
{{- end -}}
