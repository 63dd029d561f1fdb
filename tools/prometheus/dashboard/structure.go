package main

import (
	"fmt"
	"regexp"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Columns of Grafana's grid.
const columns = 24

// The types of panels and the units that are in use. A misspelt unit is shown
// as text behind the number, a misspelt type as an empty panel.
var (
	types = map[string]bool{"stat": true, "timeseries": true}
	units = map[string]bool{"short": true, "s": true, "ops": true, "reqps": true}
)

// A rate over a window that somebody chose is empty where the scrape interval
// is longer, and hides what is short where it is zoomed in.
var fixedRate = regexp.MustCompile(`rate\([^()]*\[[0-9]`)

// faults says what is wrong with a dashboard, as far as that shows without
// Grafana and without data.
func faults(d dashboard) []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if d.UID == "" || d.Title == "" || d.SchemaVersion == 0 {
		say("uid, title or schemaVersion is missing")
	}
	if len(d.Panels) == 0 {
		say("there are no panels")
	}
	if !choosesSource(d) {
		say("no variable \"datasource\" chooses among Prometheus data sources")
	}
	ids, titles := map[int]string{}, map[string]bool{}
	for i, p := range d.Panels {
		if p.Title == "" || titles[p.Title] {
			say("panel %d: the title %q is empty or used twice", p.ID, p.Title)
		}
		titles[p.Title] = true
		if other, taken := ids[p.ID]; taken || p.ID == 0 {
			say("%s: id %d is zero or that of %q", p.Title, p.ID, other)
		}
		ids[p.ID] = p.Title
		for _, fault := range faultsOfPanel(p) {
			say("%s: %s", p.Title, fault)
		}
		for _, other := range d.Panels[:i] {
			if p.GridPos.overlaps(other.GridPos) {
				say("%s: lies on %q", p.Title, other.Title)
			}
		}
	}
	return found
}

func choosesSource(d dashboard) bool {
	for _, v := range d.Templating.List {
		if v.Name == "datasource" && v.Type == "datasource" && v.Query == "prometheus" {
			return true
		}
	}
	return false
}

func faultsOfPanel(p panel) []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	ours := source{Type: "prometheus", UID: "${datasource}"}
	if !types[p.Type] {
		say("type %q is not one of ours", p.Type)
	}
	if !units[p.FieldConfig.Defaults.Unit] {
		say("unit %q is not one of ours", p.FieldConfig.Defaults.Unit)
	}
	if p.Description == "" {
		say("no description says what to make of it")
	}
	if p.Datasource != ours {
		say("its data source is %v and not the chosen one", p.Datasource)
	}
	g := p.GridPos
	if g.W <= 0 || g.H <= 0 || g.X < 0 || g.Y < 0 || g.X+g.W > columns {
		say("%+v is not on the grid", g)
	}
	if len(p.Targets) == 0 {
		say("it asks for nothing")
	}
	refs := map[string]bool{}
	for _, t := range p.Targets {
		if t.RefID == "" || refs[t.RefID] {
			say("refId %q is empty or used twice", t.RefID)
		}
		refs[t.RefID] = true
		if t.LegendFormat == "" {
			say("%s: no legend", t.RefID)
		}
		if t.Datasource != ours {
			say("%s: its data source is %v and not the chosen one", t.RefID, t.Datasource)
		}
		if fixedRate.MatchString(t.Expr) {
			say("%s: a rate over a fixed window: use $__rate_interval", t.RefID)
		}
		p := parser.NewParser(parser.Options{})
		if _, err := p.ParseExpr(filled(t.Expr, time.Minute)); err != nil {
			say("%s: %v", t.RefID, err)
		}
	}
	return found
}
