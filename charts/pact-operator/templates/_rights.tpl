{{/* The names of the Secrets that the spec of a PactBroker refers to, as JSON. */}}
{{- define "pact-operator.secretsOf" -}}
{{- $names := list
  (dig "auth" "basic" "secretRef" "name" "" .)
  (dig "auth" "bearer" "secretRef" "name" "" .)
  (dig "headersSecretRef" "name" "" .)
  (dig "tls" "caSecretRef" "name" "" .)
  (dig "tls" "clientCertificateSecretRef" "name" "" .) -}}
{{- without $names "" | toJson }}
{{- end }}

{{/*
The names of the Secrets that hold the brokers' credentials, as JSON: those that `broker` refers to, and rbac.brokerSecrets. The
PactBrokers in the cluster do not count: whoever may write one could otherwise make the next upgrade grant any Secret.
*/}}
{{- define "pact-operator.brokerSecrets" -}}
{{- $listed := .Values.rbac.brokerSecrets | default list -}}
{{- include "pact-operator.secretsOf" .Values.broker | fromJsonArray | concat $listed | uniq | sortAlpha | toJson }}
{{- end }}

{{/* The rule of a Role by which the brokers' Secrets are read. Without a name there is none: it would grant every Secret. */}}
{{- define "pact-operator.readBrokerSecrets" -}}
{{- with include "pact-operator.brokerSecrets" . | fromJsonArray -}}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get]
{{- end }}
{{- end }}
