{{/* Names are fixed, because a cluster has one gate and one recorder: once.yaml refuses a second release. */}}
{{/*
The labels of an object: a list of context, component ("" for none) and labels of its own. Each key is rendered once, as YAML
requires: the object's own labels take precedence over the common ones, and none over those that selectors and Helm use.
*/}}
{{- define "pact-operator.labels" -}}
{{- $root := index . 0 -}}
{{- $fixed := dict
  "app.kubernetes.io/name" "pact-operator"
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- with index . 1 }}{{ $fixed = set $fixed "app.kubernetes.io/component" . }}{{ end -}}
{{- $usual := dict
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/part-of" "pact-operator"
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $fixed (index . 2) $root.Values.commonLabels $usual) }}
{{- end }}

{{/*
The metadata of an object: a list of context, name, component ("" for none), whether it is namespaced (or its namespace, where
that is not the release's), and optionally labels and annotations of its own.
*/}}
{{- define "pact-operator.metadata" -}}
{{- $root := index . 0 -}}
{{- $labels := dict -}}
{{- $annotations := dict -}}
{{- if gt (len .) 4 }}{{ $labels = index . 4 }}{{ end }}
{{- if gt (len .) 5 }}{{ $annotations = index . 5 }}{{ end -}}
name: {{ index . 1 }}
{{- with index . 3 }}
namespace: {{ kindIs "string" . | ternary . $root.Release.Namespace }}
{{- end }}
labels:
  {{- include "pact-operator.labels" (list $root (index . 2) $labels) | nindent 2 }}
{{- with merge (dict) $annotations $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The selector of a component's pods: a list of context and component. It never changes: selectors are immutable. */}}
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

{{/*
Binds a component's ServiceAccount to the role of its name: a list of context, component, scope (false: the whole cluster; true
or a namespace, as for the metadata), and annotations.
*/}}
{{- define "pact-operator.binding" -}}
{{- $root := index . 0 -}}
{{- $name := printf "pact-operator-%s" (index . 1) -}}
{{- $scope := ternary "" "Cluster" (not (empty (index . 2))) -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $scope }}RoleBinding
metadata:
  {{- include "pact-operator.metadata" (list $root $name (index . 1) (index . 2) (dict) (index . 3)) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $scope }}Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ $name }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}
