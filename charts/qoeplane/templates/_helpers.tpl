{{/* Names and labels that several templates share. */}}

{{- define "qoeplane.name" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- printf "%s-operator" ($name | trunc 50 | trimSuffix "-") -}}
{{- end }}

{{- define "qoeplane.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "qoeplane.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{- define "qoeplane.selector" -}}
app.kubernetes.io/name: qoeplane-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "qoeplane.labels" -}}
{{ include "qoeplane.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: qoeplane
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "qoeplane.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "qoeplane.watched" -}}
{{ .Values.watchNamespace | default .Release.Namespace }}
{{- end }}

{{/* The port of health and metrics. */}}
{{- define "qoeplane.port" -}}
{{ regexFind "[0-9]+$" .Values.listen }}
{{- end }}
