// Command kubernetes-schemas writes what `sealift validate` knows of Kubernetes' own kinds, as one JSON document: the
// schemas of api/openapi-spec/swagger.json in k8s.io/kubernetes, without descriptions and each once for all versions in
// which it is the same, the enumerations that k8s.io/api marks in its sources, and in which versions each API was
// deprecated and removed. All of it comes from published modules, whose sums Go checks.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
)

// One release of each minor version; the newest is what is assumed where nobody says a version.
var releases = []release{{33, "33.13"}, {34, "34.4"}, {35, "35.4"}, {36, "36.3"}, {37, "37.2"}}

type release struct {
	minor int
	patch string
}

type object = map[string]any

func main() {
	document := object{"schema": "sealift.dev/kubernetes-schemas/v1"}
	sources, versions := object{}, []string{}
	kinds, definitions := map[string]string{}, map[string]map[int]any{}
	for _, release := range releases {
		module := "k8s.io/kubernetes@v1." + release.patch
		swagger := read(filepath.Join(download(module), "api/openapi-spec/swagger.json"))
		sum := sha256.Sum256(swagger)
		version := fmt.Sprintf("1.%d", release.minor)
		versions = append(versions, version)
		sources[version] = object{"module": module, "swagger": "sha256:" + hex.EncodeToString(sum[:])}
		enums := enumerations(download("k8s.io/api@v0." + release.patch))
		for name, schema := range schemas(swagger, enums, kinds) {
			if definitions[name] == nil {
				definitions[name] = map[int]any{}
			}
			definitions[name][release.minor] = schema
		}
	}
	document["versions"], document["sources"], document["kinds"] = versions, sources, kinds
	merged := map[string]any{}
	for name, by := range definitions {
		merged[name] = variants(by)
	}
	document["definitions"] = merged
	document["lifecycles"] = lifecycles()
	os.Stdout.Write(lines(document))
}

// Where a module lies, downloaded if it has to be.
func download(module string) string {
	command := exec.Command("go", "mod", "download", "-json", module)
	command.Dir, command.Stderr = os.TempDir(), os.Stderr
	out, err := command.Output()
	check(err)
	var answer struct{ Dir string }
	check(json.Unmarshal(out, &answer))
	return answer.Dir
}

// The definitions that any kind of object needs, in short form; the kinds are added to `kinds`.
func schemas(swagger []byte, enums map[string]map[string][]string, kinds map[string]string) map[string]any {
	var document struct {
		Definitions map[string]object `json:"definitions"`
	}
	check(json.Unmarshal(swagger, &document))
	found := map[string]any{}
	var add func(name string)
	add = func(name string) {
		if _, known := found[name]; known {
			return
		}
		short := shortened(document.Definitions[name])
		if replaced, special := special[name]; special {
			short = replaced
		}
		properties, _ := short["properties"].(object)
		for field, values := range enums[name] {
			if schema, ok := properties[field].(object); ok {
				if items, ok := schema["items"].(object); ok {
					schema = items
				}
				if schema["type"] == "string" {
					schema["enum"] = values
				}
			}
		}
		found[name] = short
		references(short, add)
	}
	for name, schema := range document.Definitions {
		marks, _ := schema["x-kubernetes-group-version-kind"].([]any)
		properties, _ := schema["properties"].(object)
		metadata, _ := properties["metadata"].(object)
		// Lists, options and reviews without a name are nothing that a release could hold.
		if len(marks) != 1 || metadata["$ref"] != prefix+"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" {
			continue
		}
		mark := marks[0].(object)
		apiVersion := mark["version"].(string)
		if group := mark["group"].(string); group != "" {
			apiVersion = group + "/" + apiVersion
		}
		kinds[apiVersion+" "+mark["kind"].(string)] = name
		add(name)
	}
	return found
}

const prefix = "#/definitions/"

// What decoders take that the definition does not tell: quantities and ports may be numbers, and some texts are free.
var special = map[string]object{
	"io.k8s.apimachinery.pkg.api.resource.Quantity":                 {"format": "quantity"},
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString":               {"format": "int-or-string"},
	"io.k8s.apimachinery.pkg.runtime.RawExtension":                  {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1":                 {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": {},
}

var kept = []string{"type", "format", "required", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"}

func shortened(schema object) object {
	short := object{}
	for _, key := range kept {
		if value, ok := schema[key]; ok && value != "atomic" {
			short[key] = value
		}
	}
	if reference, ok := schema["$ref"].(string); ok {
		short["$ref"] = strings.TrimPrefix(reference, prefix)
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner, ok := schema[key].(object); ok {
			short[key] = shortened(inner)
		}
	}
	if properties, ok := schema["properties"].(object); ok {
		inner := object{}
		for name, property := range properties {
			inner[name] = shortened(property.(object))
		}
		short["properties"] = inner
	}
	return short
}

func references(schema object, add func(string)) {
	if reference, ok := schema["$ref"].(string); ok {
		add(reference)
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner, ok := schema[key].(object); ok {
			references(inner, add)
		}
	}
	if properties, ok := schema["properties"].(object); ok {
		for _, property := range properties {
			references(property.(object), add)
		}
	}
}

// The forms that a definition has had, each by the first and last minor version of a time in which it was this.
func variants(by map[int]any) object {
	ranges := object{}
	for at := 0; at < len(releases); at++ {
		schema, ok := by[releases[at].minor]
		if !ok {
			continue
		}
		first := releases[at].minor
		for at+1 < len(releases) && reflect.DeepEqual(by[releases[at+1].minor], schema) {
			at++
		}
		ranges[fmt.Sprintf("%d-%d", first, releases[at].minor)] = schema
	}
	return ranges
}

// One line a kind, definition and lifecycle, so that a change is told by a diff.
func lines(document object) []byte {
	var out bytes.Buffer
	out.WriteString("{\n")
	for i, key := range sorted(document) {
		if i > 0 {
			out.WriteString(",\n")
		}
		fmt.Fprintf(&out, "%q: ", key)
		switch value := document[key].(type) {
		case map[string]string:
			each(&out, value)
		case map[string]any:
			each(&out, value)
		default:
			out.Write(compact(value))
		}
	}
	out.WriteString("\n}\n")
	return out.Bytes()
}

func each[V any](out *bytes.Buffer, values map[string]V) {
	out.WriteString("{\n")
	for i, key := range sorted(values) {
		if i > 0 {
			out.WriteString(",\n")
		}
		fmt.Fprintf(out, "%q: %s", key, compact(values[key]))
	}
	out.WriteString("\n}")
}

func sorted[V any](values map[string]V) []string {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func compact(value any) []byte {
	text, err := json.Marshal(value)
	check(err)
	return text
}

func read(path string) []byte {
	text, err := os.ReadFile(path)
	check(err)
	return text
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes-schemas:", err)
		os.Exit(1)
	}
}
