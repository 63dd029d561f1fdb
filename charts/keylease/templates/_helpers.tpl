{{- define "keylease.name" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $whole | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- define "keylease.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{- define "keylease.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "keylease.name" .) -}}
{{- end -}}

{{/* The operator as the API server names it. */}}
{{- define "keylease.user" -}}
{{- printf "system:serviceaccount:%s:%s" (include "keylease.namespace" .) (include "keylease.serviceAccount" .) -}}
{{- end -}}

{{- define "keylease.selector" -}}
app.kubernetes.io/name: keylease
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of every object but for app.kubernetes.io/name and instance. */}}
{{- define "keylease.furtherLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "keylease.labels" -}}
{{ include "keylease.selector" . }}
{{ include "keylease.furtherLabels" . }}
{{- end -}}

{{- define "keylease.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The port of a URL: the one in it, or its scheme's. */}}
{{- define "keylease.port" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* The Secret with the certificate of the metrics; empty: self-signed. */}}
{{- define "keylease.metricsSecret" -}}
{{- if .Values.metrics.tls.certManager.enabled -}}
{{ include "keylease.name" . }}-metrics-tls
{{- else -}}
{{ .Values.metrics.tls.existingSecret }}
{{- end -}}
{{- end -}}

{{/* Whether something is rendered whose switch may be auto: (list . switch kind). */}}
{{- define "keylease.wanted" -}}
{{- $root := index . 0 -}}
{{- $switch := index . 1 | toString -}}
{{- if or (eq $switch "true") (and (eq $switch "auto") ($root.Capabilities.APIVersions.Has (index . 2))) -}}
true
{{- end -}}
{{- end -}}
