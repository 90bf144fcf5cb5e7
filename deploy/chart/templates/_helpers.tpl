{{/* Labels by which the controller's pods are found. */}}
{{- define "sealift.selector" -}}
app.kubernetes.io/name: sealift
app.kubernetes.io/component: controller
{{- end }}

{{/* The image: by digest where one is given. */}}
{{- define "sealift.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The arguments of the controller, those that only say the default left out. */}}
{{- define "sealift.args" -}}
- run
- --log-format={{ .Values.controller.logFormat }}
- --cache-dir=/var/cache/sealift
- --lease-namespace=$(POD_NAMESPACE)
- --replica-id=$(POD_NAME)
- --root-delivery=$(POD_NAMESPACE)/sealift
{{- with .Values.controller }}
{{- if ne .leaseDuration "15s" }}
- --lease-duration={{ .leaseDuration }}
{{- end }}
{{- if .breakGlass }}
- --break-glass={{ .breakGlass }}
{{- end }}
{{- if .defaultServiceAccount }}
- --default-service-account={{ .defaultServiceAccount }}
{{- end }}
{{- range .watchNamespaces }}
- --watch-namespace={{ . }}
{{- end }}
{{- if ne (int .maxWatches) 128 }}
- --max-watches={{ int .maxWatches }}
{{- end }}
{{- if ne (int .concurrent) 8 }}
- --concurrent={{ int .concurrent }}
{{- end }}
{{- if ne .minInterval "10s" }}
- --min-interval={{ .minInterval }}
{{- end }}
{{- if ne .stallTimeout "10m" }}
- --stall-timeout={{ .stallTimeout }}
{{- end }}
{{- if .auditLog }}
- --audit-log=-
{{- end }}
{{- end }}
{{- if ne .Values.cache.memory "128Mi" }}
- --cache-memory={{ .Values.cache.memory }}
{{- end }}
{{- if ne .Values.cache.disk "512Mi" }}
- --cache-disk={{ .Values.cache.disk }}
{{- end }}
{{- with .Values.registries }}
{{- range .mirrors }}
- {{ printf "--mirror=%s" . | quote }}
{{- end }}
{{- range .plainHTTP }}
- --plain-http-host={{ . }}
{{- end }}
{{- range .allow }}
- --allow-host={{ . }}
{{- end }}
{{- if .caConfigMap }}
- --registry-ca=/etc/sealift/ca/ca.crt
{{- end }}
{{- range $index, $certificate := .clientCertificates }}
- --registry-cert={{ $certificate.host }}=/etc/sealift/tls/{{ $index }}/tls.crt,/etc/sealift/tls/{{ $index }}/tls.key
{{- end }}
{{- range .identities }}
- {{ printf "--registry-identity=%s" . | quote }}
{{- end }}
{{- end }}
{{- with .Values.notifications }}
{{- if ne .clusterName "default" }}
- --cluster-name={{ .clusterName }}
{{- end }}
{{- range .plainHTTP }}
- --plain-http-service={{ . }}
{{- end }}
{{- end }}
{{- with int .Values.receivers.port }}
- --receiver-listen=0.0.0.0:{{ . }}
{{- end }}
{{- range .Values.controller.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
