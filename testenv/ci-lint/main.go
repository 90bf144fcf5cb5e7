// Command ci-lint reads CI files by the code of their platforms.
//
//	ci-lint tekton FILE      decodes and validates as Tekton's admission webhook does
//	ci-lint buildkite FILE   parses as the agent does, fills in the environment's variables, and prints the JSON it uploads
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/buildkite/go-pipeline"
	tekton "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ci-lint:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("expected tekton FILE or buildkite FILE")
	}
	content, err := os.ReadFile(arguments[1])
	if err != nil {
		return err
	}
	switch arguments[0] {
	case "tekton":
		return lintTekton(content)
	case "buildkite":
		return lintBuildkite(content)
	}
	return fmt.Errorf("unknown platform %q", arguments[0])
}

func lintTekton(content []byte) error {
	ctx := context.Background()
	for number, document := range strings.Split(string(content), "\n---\n") {
		var task tekton.Task
		if err := yaml.UnmarshalStrict([]byte(document), &task); err != nil {
			return fmt.Errorf("document %d: %w", number+1, err)
		}
		if task.APIVersion != "tekton.dev/v1" || task.Kind != "Task" {
			return fmt.Errorf("document %d: %s %s is not known here", number+1, task.APIVersion, task.Kind)
		}
		task.SetDefaults(ctx)
		// A typed nil is no error, so the comparison is with the type itself.
		if err := task.Validate(ctx); err != nil {
			return fmt.Errorf("task %s: %w", task.Name, err)
		}
		fmt.Println(task.Name)
	}
	return nil
}

// environment is what an agent fills in.
type environment map[string]string

func (e environment) Get(name string) (string, bool) { value, ok := e[name]; return value, ok }
func (e environment) Set(name, value string)         { e[name] = value }

func lintBuildkite(content []byte) error {
	parsed, err := pipeline.Parse(bytes.NewReader(content))
	if err != nil {
		return err
	}
	variables := environment{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		variables[name] = value
	}
	if err := parsed.Interpolate(variables, false); err != nil {
		return err
	}
	for number, step := range parsed.Steps {
		if _, unknown := step.(*pipeline.UnknownStep); unknown {
			return fmt.Errorf("step %d is of no known kind", number+1)
		}
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(parsed)
}
