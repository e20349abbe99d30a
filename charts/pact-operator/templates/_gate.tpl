{{/*
Parts of the webhook's configuration. Its conditions, which the audit of bypasses shares, are in CEL and in one line. An error in a condition
admits the request unasked under failurePolicy Ignore: nothing here may fail, or cost more than the API server allows,
whatever somebody writes into an object.
*/}}

{{/* A key that somebody wrote who meant the operator. src/workload/stray_keys.rs says the same. */}}
{{- define "pact-operator.ours" -}}
k.startsWith('pact-operator') || k == 'pacticipant' || k.endsWith('/pacticipant')
{{- end }}

{{/*
The object is managed, or was; or somebody meant it to be: with a misspelt annotation, a label, or on the pod template, about
which the webhook warns. The first part decides what is judged and is cheap; the other looks at each key, and therefore not at
hundreds of them.
*/}}
{{- define "pact-operator.annotated" -}}
[object, oldObject].exists(o, o != null && has(o.metadata.annotations)
&& 'pact-operator.dev/pacticipant' in o.metadata.annotations)
|| [object, oldObject].exists(o, o != null
&& [o.metadata, has(o.spec) && has(o.spec.template) && has(o.spec.template.metadata) ? o.spec.template.metadata : {}].exists(m,
['annotations', 'labels'].exists(f, f in m && m[f].size() <= 500 && m[f].exists(k, {{ include "pact-operator.ours" . }}))))
{{- end }}

{{/* The object is new, or something changes that may say another version, or that a version may pass unasked. */}}
{{- define "pact-operator.versionMayChange" -}}
oldObject == null || !(has(oldObject.spec) && has(oldObject.spec.template) && has(oldObject.spec.template.spec)
&& has(oldObject.spec.template.spec.containers))
|| object.spec.template.spec.containers.map(c, [c.name, has(c.image) ? c.image : ''])
!= oldObject.spec.template.spec.containers.map(c, [c.name, has(c.image) ? c.image : ''])
|| ['pacticipant', 'container', 'version', 'application-instance', 'bypass'].map(k, 'pact-operator.dev/' + k).exists(k,
(has(object.metadata.annotations) && k in object.metadata.annotations ? object.metadata.annotations[k] : '')
!= (has(oldObject.metadata.annotations) && k in oldObject.metadata.annotations ? oldObject.metadata.annotations[k] : ''))
|| (has(object.metadata.labels) && 'app.kubernetes.io/version' in object.metadata.labels
? object.metadata.labels['app.kubernetes.io/version'] : '')
!= (has(oldObject.metadata.labels) && 'app.kubernetes.io/version' in oldObject.metadata.labels
? oldObject.metadata.labels['app.kubernetes.io/version'] : '')
|| (has(object.spec.template.metadata) && has(object.spec.template.metadata.annotations)
&& 'kubectl.kubernetes.io/default-container' in object.spec.template.metadata.annotations
? object.spec.template.metadata.annotations['kubectl.kubernetes.io/default-container'] : '')
!= (has(oldObject.spec.template.metadata) && has(oldObject.spec.template.metadata.annotations)
&& 'kubectl.kubernetes.io/default-container' in oldObject.spec.template.metadata.annotations
? oldObject.spec.template.metadata.annotations['kubectl.kubernetes.io/default-container'] : '')
|| [[object.metadata, oldObject.metadata],
[has(object.spec.template.metadata) ? object.spec.template.metadata : {},
has(oldObject.spec.template.metadata) ? oldObject.spec.template.metadata : {}]].exists(p, ['annotations', 'labels'].exists(f,
f in p[0] && p[0][f].size() <= 500 && p[0][f].exists(k, ({{ include "pact-operator.ours" . }}) && !(f in p[1] && k in p[1][f]))))
{{- end }}

{{/*
The object states `VERSION REASON`, VERSION is what it would run, and the user may. What would run is the version annotation,
or else the tag of the named or only container; nothing is trimmed but the statement, whose length is limited. Where this
cannot tell (a tagPattern, a version label, default-container), the webhook is called and judges the statement itself:
src/workload/bypass.rs.
*/}}
{{- define "pact-operator.bypassed" -}}
{{- $accounts := list }}
{{- range .Values.webhook.bypassServiceAccounts }}{{ $accounts = append $accounts (printf "system:serviceaccount:%s" .) }}{{ end -}}
has(object.metadata.annotations) && 'pact-operator.dev/bypass' in object.metadata.annotations
&& object.metadata.annotations['pact-operator.dev/bypass'].size() <= 1024
&& [object.metadata.annotations].exists(a, [a['pact-operator.dev/bypass'].trim().split(' ')].exists(s, s.size() > 1
&& s[0].lowerAscii() != 'latest'
&& ('pact-operator.dev/version' in a ? a['pact-operator.dev/version'] == s[0]
: [object.spec.template.spec.containers].exists(all, all.exists(c,
('pact-operator.dev/container' in a ? c.name == a['pact-operator.dev/container'] : all.size() == 1) && has(c.image)
&& c.image.substring(c.image.lastIndexOf('/') + 1).split('@')[0].endsWith(':' + s[0]))))))
&& has(request.userInfo.username)
&& (!request.userInfo.username.startsWith('system:serviceaccount:') || request.userInfo.username in {{ $accounts | toJson | replace "\"" "'" }})
&& authorizer.group('pact-operator.dev').resource('pactenvironments').check('bypass').allowed()
{{- end }}

{{/* An Argo Rollout may take another workload's pod template, or have an empty one. */}}
{{- define "pact-operator.hasPodTemplate" -}}
has(object.spec) && has(object.spec.template) && has(object.spec.template.spec) && has(object.spec.template.spec.containers)
{{- end }}

{{/* What a CronJob starts was judged with it, and must not wait for an answer in the night. */}}
{{- define "pact-operator.notControlled" -}}
request.resource.resource != 'jobs' || !has(object.metadata.ownerReferences)
|| !object.metadata.ownerReferences.exists(o, has(o.controller) && o.controller)
{{- end }}

{{/* The object as it is is held: paused, with our annotation. */}}
{{- define "pact-operator.isHeld" -}}
oldObject != null && has(oldObject.metadata.annotations) && 'pact-operator.dev/held' in oldObject.metadata.annotations
&& has(oldObject.spec.paused) && oldObject.spec.paused
{{- end }}

{{/*
What is held changes in our pause or our annotation, and it is not the operator that resumes it. A hold is both together.
*/}}
{{- define "pact-operator.heldChanges" -}}
({{ include "pact-operator.isHeld" . }}
&& !(has(object.spec.paused) && object.spec.paused && has(object.metadata.annotations)
&& 'pact-operator.dev/held' in object.metadata.annotations
&& object.metadata.annotations['pact-operator.dev/held'] == oldObject.metadata.annotations['pact-operator.dev/held'])
&& !({{ include "pact-operator.byTheController" . }}))
{{- end }}

{{/* The operator itself writes: it resumes what it has found to be fine, and notes what it reported. */}}
{{- define "pact-operator.byTheController" -}}
has(request.userInfo.username) && request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:pact-operator-controller'
{{- end }}

{{/* The object was given the annotation for the pacticipant just now, and nothing controls it. */}}
{{- define "pact-operator.newlyAnnotated" -}}
has(object.metadata.annotations) && 'pact-operator.dev/pacticipant' in object.metadata.annotations
&& !(oldObject != null && has(oldObject.metadata.annotations) && 'pact-operator.dev/pacticipant' in oldObject.metadata.annotations)
&& !(has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o, has(o.controller) && o.controller))
{{- end }}

{{/*
How the API server calls the mutating webhook: at the same server, and the operator writes the same caBundle and secret. An
address is that of the other webhook with `hold` in place of `gate`.
*/}}
{{- define "pact-operator.callHold" -}}
clientConfig:
  {{- with .Values.webhook.url }}
  {{- if not (regexMatch "/gate(/[^/]*)?$" .) }}
  {{- fail "webhook.hold.enabled needs a webhook.url that ends with /gate or /gate/SECRET: the mutating webhook is at /hold or /hold/SECRET" }}
  {{- end }}
  url: {{ regexReplaceAll "/gate(/[^/]*)?$" . "/hold${1}" }}
  {{- else }}
  service: {name: pact-operator-webhook, namespace: {{ .Release.Namespace }}, port: 443}
  {{- end }}
{{- end }}

{{/*
How the API server calls the webhook. No caBundle and no path: the operator writes both, and an upgrade of the release keeps
them. The path ends with a secret by which the operator knows the API server; to a URL it writes nothing.
*/}}
{{- define "pact-operator.callWebhook" -}}
clientConfig:
  {{- with .Values.webhook.url }}
  url: {{ . }}
  {{- else }}
  service: {name: pact-operator-webhook, namespace: {{ .Release.Namespace }}, port: 443}
  {{- end }}
{{- end }}

{{/* The namespaces in which the webhook is called. */}}
{{- define "pact-operator.gatedNamespaces" -}}
namespaceSelector:
  matchExpressions:
    # Workloads that the cluster and the operator need to start never depend on the operator.
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ concat (list "kube-system" "kube-node-lease" .Release.Namespace) .Values.webhook.excludedNamespaces | uniq | toJson }}
    {{- with .Values.webhook.namespaceSelector }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* A condition in one line: a list of context, name and, for kinds whose pod template is elsewhere, its path. */}}
{{- define "pact-operator.condition" -}}
{{- $condition := include (printf "pact-operator.%s" (index . 1)) (index . 0) | replace "\n" " " }}
{{- if gt (len .) 2 }}{{ $condition | replace "spec.template" (index . 2) }}{{ else }}{{ $condition }}{{ end }}
{{- end }}

{{/* The rules for the kinds whose pod template has this path: a list of context and path. */}}
{{- define "pact-operator.gatedKinds" -}}
{{- range (index . 0).Files.Get "files/kinds.json" | fromJsonArray }}
{{- if eq (.template | default "spec.template") (index $ 1) }}
- apiGroups: [{{ .group }}]
  apiVersions: [{{ .version }}]
  resources: {{ toJson .resources }}
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end }}
{{- end }}
{{- end }}

{{/* Where the pod templates of all kinds are, each path once. */}}
{{- define "pact-operator.templatePaths" -}}
{{- $paths := list }}
{{- range .Files.Get "files/kinds.json" | fromJsonArray }}{{ $paths = append $paths (.template | default "spec.template") }}{{ end }}
{{- $paths | uniq | toJson }}
{{- end }}
