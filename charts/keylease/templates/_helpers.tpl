{{- define "keylease.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- define "keylease.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "keylease.name" .) -}}
{{- end -}}

{{/* The operator as the API server names it. */}}
{{- define "keylease.user" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "keylease.serviceAccount" .) -}}
{{- end -}}

{{- define "keylease.selector" -}}
app.kubernetes.io/name: keylease
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "keylease.labels" -}}
{{ include "keylease.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "keylease.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The port of the collector of traces: the one in its URL, or its scheme's. */}}
{{- define "keylease.tracingPort" -}}
{{- $url := urlParse .Values.tracing.endpoint -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}
