package argocd

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"keylease.dev/tools/integrations/files"
)

// customizations has the form of Argo CD's folder of that name.
const customizations = "../../../integrations/argocd/resource_customizations"

// now is the time of all actions, in a zone in which a format without "!" would
// say another hour; never is what the expected outputs have in its place.
var (
	now   = time.Date(2026, 11, 28, 11, 15, 0, 0, time.FixedZone("elsewhere", 2*60*60))
	never = "0001-01-01T00:00:00Z"
)

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type healthTests struct {
	Tests []struct {
		InputPath    string `json:"inputPath"`
		HealthStatus health `json:"healthStatus"`
	} `json:"tests"`
}

type action struct {
	Name        string `json:"name"`
	Disabled    bool   `json:"disabled"`
	DisplayName string `json:"displayName"`
	IconClass   string `json:"iconClass"`
}

type actionTests struct {
	DiscoveryTests []struct {
		InputPath string   `json:"inputPath"`
		Result    []action `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	} `json:"actionTests"`
}

// found are the files of a pattern. None at all would be a test that cannot fail.
func found(t *testing.T, pattern ...string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(append([]string{customizations}, pattern...)...))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of %v: %v", pattern, err)
	}
	return files
}

func read(t *testing.T, into any, path ...string) {
	t.Helper()
	if err := yaml.UnmarshalStrict(files.Text(t, path...), into); err != nil {
		t.Fatalf("%v: %v", path, err)
	}
}

func TestHealth(t *testing.T) {
	for _, script := range found(t, "*", "*", "health.lua") {
		folder := filepath.Dir(script)
		var all healthTests
		read(t, &all, folder, "health_test.yaml")
		var tested []string
		for _, test := range all.Tests {
			tested = append(tested, test.InputPath)
			t.Run(filepath.Base(folder)+"/"+filepath.Base(test.InputPath), func(t *testing.T) {
				input := map[string]any{}
				read(t, &input, folder, test.InputPath)
				answer, err := run(string(files.Text(t, script)), input, now)
				if err != nil {
					t.Fatal(err)
				}
				var is health
				if err := json.Unmarshal(answer, &is); err != nil {
					t.Fatal(err)
				}
				if is != test.HealthStatus {
					t.Errorf("%+v, not %+v", is, test.HealthStatus)
				}
			})
		}
		for _, file := range found(t, filepath.Base(filepath.Dir(folder)), filepath.Base(folder), "testdata", "*.yaml") {
			if !slices.Contains(tested, filepath.Join("testdata", filepath.Base(file))) {
				t.Errorf("%s is in no test", file)
			}
		}
	}
}

func TestDiscovery(t *testing.T) {
	for _, file := range found(t, "*", "*", "actions", "action_test.yaml") {
		folder := filepath.Dir(file)
		var all actionTests
		read(t, &all, file)
		for _, test := range all.DiscoveryTests {
			t.Run(filepath.Base(test.InputPath), func(t *testing.T) {
				input := map[string]any{}
				read(t, &input, folder, test.InputPath)
				answer, err := run(string(files.Text(t, folder, "discovery.lua")), input, now)
				if err != nil {
					t.Fatal(err)
				}
				is := map[string]action{}
				if err := json.Unmarshal(answer, &is); err != nil {
					t.Fatal(err)
				}
				wanted := map[string]action{}
				for _, action := range test.Result {
					name := action.Name
					action.Name = ""
					wanted[name] = action
					files.Text(t, folder, name, "action.lua")
				}
				if !reflect.DeepEqual(is, wanted) {
					t.Errorf("%+v, not %+v", is, wanted)
				}
			})
		}
	}
}

func TestActions(t *testing.T) {
	for _, file := range found(t, "*", "*", "actions", "action_test.yaml") {
		folder := filepath.Dir(file)
		var all actionTests
		read(t, &all, file)
		for _, test := range all.ActionTests {
			t.Run(test.Action, func(t *testing.T) {
				input, before, wanted := map[string]any{}, map[string]any{}, map[string]any{}
				read(t, &input, folder, test.InputPath)
				read(t, &before, folder, test.InputPath)
				read(t, &wanted, folder, test.ExpectedOutputPath)
				answer, err := run(string(files.Text(t, folder, test.Action, "action.lua")), input, now)
				if err != nil {
					t.Fatal(err)
				}
				is, err := object(answer)
				if err != nil {
					t.Fatal(err)
				}
				is = merged(is, before)
				asked := replaced(is)
				if len(asked) != 1 {
					t.Fatalf("one time is asked for, not %v", asked)
				}
				at, err := time.Parse(time.RFC3339Nano, asked[0])
				if err != nil || at.Sub(now) < 0 || at.Sub(now) >= time.Second {
					t.Errorf("%s is not %s: %v", asked[0], now.UTC(), err)
				}
				if !reflect.DeepEqual(is, wanted) {
					t.Errorf("%v\nnot\n%v", is, wanted)
				}
			})
		}
	}
}

// replaced puts never in place of the time that an action wrote, wherever one of
// ours writes it, and returns that time.
func replaced(object map[string]any) []string {
	var all []string
	at := func(path ...string) {
		here := object
		for _, key := range path[:len(path)-1] {
			here, _ = here[key].(map[string]any)
		}
		last := path[len(path)-1]
		if time, ok := here[last].(string); ok && time != "2026-11-28T09:10:00Z" {
			all = append(all, time)
			here[last] = never
		}
	}
	at("spec", "renew", "at")
	at("spec", "revokeBefore")
	at("metadata", "annotations", "keylease.dev/rotate-at")
	return all
}
