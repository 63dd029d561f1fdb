{{/* CEL: everybody but the operator and whom the values exempt. */}}
{{- define "keylease.othersOnly" -}}
- name: others-than-the-operator
  expression: >-
    request.userInfo.username != '{{ include "keylease.user" . }}'
{{- with .Values.admission.exempt.users }}
- name: nobody-exempt
  expression: >-
    !(request.userInfo.username in {{ toJson . }})
{{- end }}
{{- with .Values.admission.exempt.groups }}
- name: no-exempt-group
  expression: >-
    !request.userInfo.?groups.orValue([]).exists(g, g in {{ toJson . }})
{{- end }}
{{- end -}}

{{/* CEL: uids of the requests that control a Secret; at most one. */}}
{{- define "keylease.owners" -}}
{{ . }}.metadata.?ownerReferences.orValue([]).filter(o, o.?controller.orValue(false) &&
o.kind == 'AwsCredentialRequest' && o.apiVersion.startsWith('keylease.dev/')).map(o, o.uid)
{{- end -}}

{{- define "keylease.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "keylease.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
{{- end -}}
