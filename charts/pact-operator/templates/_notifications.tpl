{{/* The sinks that are configured, as JSON: by name, each with its values. */}}
{{- define "pact-operator.sinks" -}}
{{- $sinks := dict -}}
{{- range $name := list "cdevents" "webhook" -}}
{{- $values := index $.Values.notifications $name -}}
{{- if or $values.url $values.secret }}{{ $sinks = set $sinks $name $values }}{{ end -}}
{{- end -}}
{{- toJson $sinks }}
{{- end }}

{{- define "pact-operator.notificationArguments" -}}
{{- $sinks := include "pact-operator.sinks" . | fromJson -}}
{{- with $sinks.cdevents }}
{{- with .url }}
- --cdevents-sink={{ . }}
{{- end }}
{{- if .secret }}
- --cdevents-secrets=/notifications/cdevents
{{- end }}
{{- end }}
{{- with $sinks.webhook }}
{{- with .url }}
- --notification-webhook={{ . }}
{{- end }}
{{- if .secret }}
- --notification-secrets=/notifications/webhook
{{- end }}
{{- if .template }}
- --notification-template=/notifications/template/template.json
{{- end }}
{{- end }}
{{- end }}

{{/* The name of the ConfigMap with the template: another one for another template, so that the pods are made anew. */}}
{{- define "pact-operator.templateName" -}}
pact-operator-template-{{ .Values.notifications.webhook.template | sha256sum | trunc 10 }}
{{- end }}

{{/* The volumes of the sinks, as a YAML list; the mounts have their names. */}}
{{- define "pact-operator.notificationVolumes" -}}
{{- $sinks := include "pact-operator.sinks" . | fromJson -}}
{{- range $name, $values := $sinks }}
{{- with $values.secret }}
- name: notifications-{{ $name }}
  secret: {secretName: {{ . }}, optional: true}
{{- end }}
{{- if $values.template }}
- name: notifications-template
  configMap: {name: {{ include "pact-operator.templateName" $ }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "pact-operator.notificationMounts" -}}
{{- range include "pact-operator.notificationVolumes" . | fromYamlArray }}
- {name: {{ .name }}, mountPath: {{ .name | replace "notifications-" "/notifications/" }}, readOnly: true}
{{- end }}
{{- end }}
