{{/* The settings of the controller's hooks, as JSON; empty where there are none. */}}
{{- define "pact-operator.verification" -}}
{{- if .Values.verification.hooks }}{{ toJson .Values.verification }}{{ end -}}
{{- end }}

{{- define "pact-operator.verificationArguments" -}}
{{- if include "pact-operator.verification" . }}
- --verification=/verification/config/verification.json
- --verification-secrets=/verification/secrets
{{- end }}
{{- end }}

{{/* The name of the ConfigMap with the settings: another one for other settings, so that the pods are made anew. */}}
{{- define "pact-operator.verificationName" -}}
pact-operator-verification-{{ include "pact-operator.verification" . | sha256sum | trunc 10 }}
{{- end }}

{{/* The volumes, as a YAML list: the settings, and the Secret of each hook. */}}
{{- define "pact-operator.verificationVolumes" -}}
{{- if include "pact-operator.verification" . }}
- name: verification-config
  configMap: {name: {{ include "pact-operator.verificationName" . }}}
{{- range .Values.verification.hooks }}
{{- if .secret }}
- name: verification-secret-{{ .name }}
  secret: {secretName: {{ .secret }}, optional: true}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "pact-operator.verificationMounts" -}}
{{- range include "pact-operator.verificationVolumes" . | fromYamlArray }}
- {name: {{ .name }}, mountPath: {{ .name | replace "verification-config" "/verification/config" | replace "verification-secret-" "/verification/secrets/" }}, readOnly: true}
{{- end }}
{{- end }}

{{/* Whether something is told to others of what the gate denies: sinks, or hooks. */}}
{{- define "pact-operator.followsDenials" -}}
{{- if or (include "pact-operator.sinks" . | fromJson) (include "pact-operator.verification" .) }}true{{ end -}}
{{- end }}
