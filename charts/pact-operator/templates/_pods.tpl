{{/* The common parts of the pods of both components: a list of context, component and the component's values. */}}
{{- define "pact-operator.podMetadata" -}}
{{- $values := index . 2 -}}
labels:
  {{- include "pact-operator.labels" (list (index . 0) (index . 1) $values.podLabels) | nindent 2 }}
annotations:
  {{- $container := dict "kubectl.kubernetes.io/default-container" (index . 1) }}
  {{- toYaml (merge (dict) $values.podAnnotations (index . 0).Values.commonAnnotations $container) | nindent 2 }}
{{- end }}

{{/* The common parts of all pods of the release, the pod of `helm test` included: a list as above. */}}
{{- define "pact-operator.podBasics" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
serviceAccountName: pact-operator-{{ index . 1 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "pact-operator.podSpec" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
{{- include "pact-operator.podBasics" . }}
{{- with $root.Values.priorityClassName | default (ternary "pact-operator" "" $root.Values.priorityClass.create) }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- with $values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
  {{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "pact-operator.selector" . | nindent 8 }}
    # Pods of the old ReplicaSet do not count. Otherwise a rolling update would spread the new pods badly.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}

{{/* The common parts of the containers. */}}
{{- define "pact-operator.container" -}}
image: {{ include "pact-operator.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "pact-operator.environment" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- if or .Values.proxy.httpProxy .Values.proxy.httpsProxy }}
{{- with .Values.proxy.httpProxy }}
- name: HTTP_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.httpsProxy }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
# What is inside the cluster is never behind the proxy: the API server, and brokers that a Service's name leads to.
- name: NO_PROXY
  value: {{ list .Values.proxy.noProxy "$(KUBERNETES_SERVICE_HOST)" ".svc" ".cluster.local" "localhost" "127.0.0.1" "::1" | compact | join "," | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pact-operator.probes" -}}
{{/*
A process is live while its main loop runs, and ready once it has all that it needs. The timeouts are generous: on a node
without spare CPU a slow answer is better than a restart.
*/}}
startupProbe:
  httpGet: {path: /livez, port: probes}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: probes}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: probes}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}

{{/* The volume with the log filter that may be changed while the pods run. They start without it, too. */}}
{{- define "pact-operator.logging" -}}
- name: logging
  configMap: {name: pact-operator-logging, optional: true}
{{- end }}

{{/* The arguments of tracing, each on a line of its own. */}}
{{- define "pact-operator.tracingArguments" -}}
{{- with .Values.tracing.endpoint }}
- --otlp-endpoint={{ . }}
- --trace-share={{ $.Values.tracing.share }}
{{- end }}
{{- end }}
