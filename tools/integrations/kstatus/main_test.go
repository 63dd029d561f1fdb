package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"keylease.dev/tools/integrations/files"
)

// objects has one object of each kind in each state that people meet: the test
// data of the Argo CD health checks.
const objects = "../../../integrations/argocd/resource_customizations/keylease.dev"

// wanted is what tools that go by kstatus (Flux, Helm, kpt) are to see.
var wanted = map[string]string{
	"AwsCredentialRequest/applied":        "InProgress",
	"AwsCredentialRequest/pending":        "InProgress",
	"AwsCredentialRequest/issuing":        "InProgress",
	"AwsCredentialRequest/retrying":       "InProgress",
	"AwsCredentialRequest/failed":         "Failed",
	"AwsCredentialRequest/ready":          "Current",
	"AwsCredentialRequest/edited":         "InProgress",
	"AwsCredentialRequest/edited-seen":    "Current",
	"AwsCredentialRequest/rotating":       "Current",
	"AwsCredentialRequest/rotated":        "Current",
	"AwsCredentialRequest/no-new-key":     "Current",
	"AwsCredentialRequest/suspended":      "Failed",
	"AwsCredentialRequest/revoking":       "InProgress",
	"AwsCredentialRequest/expired":        "Current",
	"AwsCredentialRequest/expired-edited": "InProgress",
	"AwsCredentialRequest/revoked":        "Current",
	"AwsCredentialRequest/deleting":       "Terminating",
	"AwsRole/applied":                     "InProgress",
	"AwsRole/ready":                       "Current",
	"AwsRole/edited":                      "InProgress",
	"AwsRole/waiting":                     "InProgress",
	"AwsRole/invalid":                     "Failed",
	"AwsAccount/applied":                  "InProgress",
	"AwsAccount/ready":                    "Current",
	"AwsAccount/unreachable":              "InProgress",
	"AwsAccount/wrong-account":            "Failed",
}

func TestStates(t *testing.T) {
	all, err := filepath.Glob(filepath.Join(objects, "*", "testdata", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(wanted) {
		t.Errorf("%d files, and %d are wanted", len(all), len(wanted))
	}
	for _, file := range all {
		kind := filepath.Base(filepath.Dir(filepath.Dir(file)))
		state := kind + "/" + strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(state, func(t *testing.T) {
			var out bytes.Buffer
			if err := judge(bytes.NewReader(append(files.JSON(t, file), '\n')), &out); err != nil {
				t.Fatal(err)
			}
			said, _, _ := strings.Cut(out.String(), "\t")
			if said != wanted[state] {
				t.Errorf("%q, not %q: %s", said, wanted[state], out.String())
			}
		})
	}
}

func TestOneLineAnObject(t *testing.T) {
	pod, _ := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"}})
	var out bytes.Buffer
	err := judge(bytes.NewReader(append(append(pod, '\n'), pod...)), &out)
	if lines := strings.Count(out.String(), "\n"); err != nil || lines != 2 {
		t.Errorf("%d lines, %v: %s", lines, err, out.String())
	}
	if err := judge(strings.NewReader("no object\n"), &out); err == nil {
		t.Error("what is no object is taken for one")
	}
}
