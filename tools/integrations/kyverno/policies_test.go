// Package kyverno judges our Kyverno policies by the tests beside them. Kyverno
// evaluates a ValidatingPolicy with the CEL of Kubernetes' own admission policies
// and functions of its own, which ours do not use: here it is Kubernetes' CEL.
package kyverno

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"

	"keylease.dev/tools/integrations/files"
)

// policies has a folder for each policy, in the form that `kyverno test` reads.
const policies = "../../../integrations/kyverno"

// oldest is the oldest Kubernetes that is supported: nothing newer is used.
const oldest = "1.30"

type object = map[string]any

type policy struct {
	Metadata struct{ Name string }
	Spec     struct {
		Variables   []struct{ Name, Expression string }
		Validations []struct{ Expression, Message, MessageExpression string }
	}
}

type tests struct {
	Policies, Resources []string
	Variables           string
	Results             []struct {
		Policy, Kind, Result string
		Resources            []string
	}
}

func read(t *testing.T, into any, path ...string) {
	t.Helper()
	if err := yaml.Unmarshal(files.Text(t, path...), into); err != nil {
		t.Fatalf("%v: %v", path, err)
	}
}

// documents are the objects of a file, by kind and name.
func documents(t *testing.T, path ...string) map[string]object {
	t.Helper()
	all := map[string]object{}
	for _, part := range bytes.Split(files.Text(t, path...), []byte("\n---\n")) {
		read := object{}
		if err := yaml.Unmarshal(part, &read); err != nil {
			t.Fatalf("%v: %v", path, err)
		}
		meta := read["metadata"].(object)
		name := fmt.Sprint(meta["name"])
		// A test names a resource with its namespace or without.
		all[fmt.Sprintf("%v %s", read["kind"], name)] = read
		all[fmt.Sprintf("%v %v/%s", read["kind"], meta["namespace"], name)] = read
	}
	return all
}

func TestPolicies(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(policies, "*", "kyverno-test.yaml"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v: %v", files, err)
	}
	for _, file := range files {
		folder := filepath.Dir(file)
		var all tests
		read(t, &all, file)
		var policy policy
		read(t, &policy, folder, all.Policies[0])
		namespaces := namespaces(t, folder, all.Variables)
		resources := documents(t, folder, all.Resources[0])
		var judged []string
		for _, result := range all.Results {
			if result.Policy != policy.Metadata.Name {
				t.Errorf("%s tests %s, which is %s", file, result.Policy, policy.Metadata.Name)
			}
			for _, name := range result.Resources {
				t.Run(policy.Metadata.Name+"/"+name, func(t *testing.T) {
					resource, ok := resources[result.Kind+" "+name]
					if !ok {
						t.Fatal("no such resource")
					}
					meta := resource["metadata"].(object)
					judged = append(judged, fmt.Sprint(meta["name"]))
					refusal := judge(t, policy, resource, namespaces[fmt.Sprint(meta["namespace"])])
					if (refusal == "") != (result.Result == "pass") {
						t.Errorf("%s: %q", result.Result, refusal)
					}
				})
			}
		}
		for _, resource := range resources {
			name := fmt.Sprint(resource["metadata"].(object)["name"])
			if !slices.Contains(judged, name) {
				t.Errorf("%s: %s is in no test", folder, name)
			}
		}
	}
}

func namespaces(t *testing.T, folder, file string) map[string]object {
	all := map[string]object{}
	if file == "" {
		return all
	}
	var values struct{ Namespaces []object }
	read(t, &values, folder, file)
	for _, namespace := range values.Namespaces {
		all[fmt.Sprint(namespace["metadata"].(object)["name"])] = namespace
	}
	return all
}

// judge is the message with which the policy refuses the creation of an object;
// none if it lets it in.
func judge(t *testing.T, policy policy, resource, namespace object) string {
	t.Helper()
	declared := []cel.EnvOption{}
	for _, name := range []string{"object", "oldObject", "request", "namespaceObject", "variables"} {
		declared = append(declared, cel.Variable(name, cel.DynType))
	}
	base := environment.MustBaseEnvSet(version.MustParseGeneric(oldest))
	set, err := base.Extend(environment.VersionedOptions{
		IntroducedVersion: version.MustParseGeneric(oldest),
		EnvOptions:        declared,
	})
	if err != nil {
		t.Fatal(err)
	}
	env, err := set.Env(environment.NewExpressions)
	if err != nil {
		t.Fatal(err)
	}
	variables := object{}
	values := object{
		"object": resource, "oldObject": nil, "namespaceObject": namespace,
		"request": object{"operation": "CREATE"}, "variables": variables,
	}
	evaluate := func(expression string) any {
		t.Helper()
		ast, issues := env.Compile(expression)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		program, err := env.Program(ast)
		if err != nil {
			t.Fatal(err)
		}
		value, _, err := program.Eval(values)
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		return value
	}
	for _, variable := range policy.Spec.Variables {
		variables[variable.Name] = evaluate(variable.Expression)
	}
	for _, validation := range policy.Spec.Validations {
		if fmt.Sprint(native(evaluate(validation.Expression))) == "true" {
			continue
		}
		if validation.MessageExpression != "" {
			return strings.TrimSpace(fmt.Sprint(native(evaluate(validation.MessageExpression))))
		}
		return validation.Message
	}
	return ""
}

func native(value any) any {
	if held, ok := value.(interface{ Value() any }); ok {
		return held.Value()
	}
	return value
}
