// Command yamljson answers, for each YAML document given as a JSON string on a line of standard input, how
// sigs.k8s.io/yaml (the reader kubectl uses) understands it: one line of {"json": …} or {"error": "…"} each.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"sigs.k8s.io/yaml"
)

type answer struct {
	JSON  json.RawMessage `json:"json,omitempty"`
	Error string          `json:"error,omitempty"`
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var doc string
		if err := json.Unmarshal(in.Bytes(), &doc); err != nil {
			panic(err)
		}
		var a answer
		if converted, err := yaml.YAMLToJSON([]byte(doc)); err != nil {
			a.Error = err.Error()
		} else {
			a.JSON = converted
		}
		if err := out.Encode(a); err != nil {
			panic(err)
		}
	}
}
