// Package flux holds what Flux's own code says of our objects.
package flux

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"keylease.dev/tools/integrations/files"
)

const (
	example = "../../../integrations/flux/clusters/production/keylease.yaml"
	states  = "../../../integrations/argocd/resource_customizations/keylease.dev/AwsCredentialRequest/testdata"
)

// wanted is what a Kustomization with the expressions of the example is told: what
// kstatus says, but for a lease whose next key cannot be made.
var wanted = map[string]string{
	"applied":        "InProgress",
	"pending":        "InProgress",
	"issuing":        "InProgress",
	"retrying":       "InProgress",
	"failed":         "Failed",
	"ready":          "Current",
	"edited":         "InProgress",
	"edited-seen":    "Current",
	"rotating":       "Current",
	"rotated":        "Current",
	"no-new-key":     "Failed",
	"suspended":      "Failed",
	"revoking":       "InProgress",
	"expired":        "Current",
	"expired-edited": "InProgress",
	"revoked":        "Current",
	"deleting":       "InProgress",
}

// expressions are the only ones of the example.
func expressions(t *testing.T) *kustomize.HealthCheckExpressions {
	t.Helper()
	var found []kustomize.CustomHealthCheck
	for _, part := range bytes.Split(files.Text(t, example), []byte("\n---\n")) {
		var read struct {
			Spec struct {
				HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(part, &read); err != nil {
			t.Fatal(err)
		}
		found = append(found, read.Spec.HealthCheckExprs...)
	}
	if len(found) != 1 || found[0].Kind != "AwsCredentialRequest" {
		t.Fatalf("%+v", found)
	}
	return &found[0].HealthCheckExpressions
}

func TestHealthCheckExpressions(t *testing.T) {
	evaluator, err := cel.NewStatusEvaluator(expressions(t))
	if err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob(filepath.Join(states, "*.yaml"))
	if err != nil || len(all) != len(wanted) {
		t.Fatalf("%d files, and %d are wanted: %v", len(all), len(wanted), err)
	}
	for _, file := range all {
		state := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(state, func(t *testing.T) {
			object := &unstructured.Unstructured{}
			if err := object.UnmarshalJSON(files.JSON(t, file)); err != nil {
				t.Fatal(err)
			}
			result, err := evaluator.Evaluate(t.Context(), object)
			if err != nil {
				t.Fatal(err)
			}
			if result.Status.String() != wanted[state] {
				t.Errorf("%s, not %s", result.Status, wanted[state])
			}
		})
	}
}
