// Package files reads what the tests of this module are about: files of
// integrations/, outside of it.
package files

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// Text is the content of a file, whose path may be in parts.
func Text(t *testing.T, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// JSON is a YAML file as one line of JSON.
func JSON(t *testing.T, path ...string) []byte {
	t.Helper()
	line, err := yaml.YAMLToJSON(Text(t, path...))
	if err != nil {
		t.Fatalf("%v: %v", path, err)
	}
	return line
}
