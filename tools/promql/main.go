// Parses every PromQL expression of the alerts and the dashboard with
// Prometheus's own parser.
//
//	go run . ALERTS.yaml DASHBOARD.json
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

type rules struct {
	Groups []struct {
		Rules []struct{ Alert, Expr string }
	}
}

type dashboard struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
}

// expressions reads both files; the keys say where each one stands.
func expressions(alerts, panels string) (map[string]string, error) {
	found := map[string]string{}
	text, err := os.ReadFile(alerts)
	if err != nil {
		return nil, err
	}
	var r rules
	if err := yaml.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	for _, group := range r.Groups {
		for _, rule := range group.Rules {
			found["alert "+rule.Alert] = rule.Expr
		}
	}
	text, err = os.ReadFile(panels)
	if err != nil {
		return nil, err
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	for _, panel := range d.Panels {
		for i, target := range panel.Targets {
			found[fmt.Sprintf("panel %s, %d", panel.Title, i+1)] = target.Expr
		}
	}
	return found, nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: promql ALERTS.yaml DASHBOARD.json")
		os.Exit(2)
	}
	all, err := expressions(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	wrong := 0
	p := parser.NewParser(parser.Options{})
	for where, expression := range all {
		if _, err := p.ParseExpr(expression); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %s: %v\n", where, expression, err)
			wrong++
		}
	}
	if wrong > 0 || len(all) == 0 {
		os.Exit(1)
	}
	fmt.Printf("ok %d expressions\n", len(all))
}
