{{/* Names are fixed, for the gate and the recorder of a cluster exist once: a second release is refused, see once.yaml. */}}
{{- define "pact-operator.labels" -}}
app.kubernetes.io/name: pact-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: pact-operator
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The metadata of an object: a list of context, name, component ("" for none), whether it is namespaced, and, where it has
them, labels and annotations of its own.
*/}}
{{- define "pact-operator.metadata" -}}
{{- $root := index . 0 -}}
{{- $labels := dict -}}
{{- $annotations := dict -}}
{{- if gt (len .) 4 }}{{ $labels = index . 4 }}{{ end }}
{{- if gt (len .) 5 }}{{ $annotations = index . 5 }}{{ end -}}
name: {{ index . 1 }}
{{- if index . 3 }}
namespace: {{ $root.Release.Namespace }}
{{- end }}
labels:
  {{- include "pact-operator.labels" $root | nindent 2 }}
  {{- with index . 2 }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- with $labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) $annotations $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What selects the pods of a component: a list of context and component. Never changes, for selectors cannot. */}}
{{- define "pact-operator.selector" -}}
app.kubernetes.io/name: pact-operator
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "pact-operator.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}
