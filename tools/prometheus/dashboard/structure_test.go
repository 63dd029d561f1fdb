package main

import (
	"strings"
	"testing"
)

const ours = "../../../charts/keylease/files/dashboard.json"

func good(t *testing.T) dashboard {
	t.Helper()
	d, err := load(ours)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOurDashboardHasNoFaults(t *testing.T) {
	for _, fault := range faults(good(t)) {
		t.Error(fault)
	}
}

// Each change breaks one rule, and exactly that is said.
func TestWhatIsBrokenIsNamed(t *testing.T) {
	for name, broken := range map[string]struct {
		change func(*dashboard)
		said   string
	}{
		"two ids":          {func(d *dashboard) { d.Panels[1].ID = d.Panels[0].ID }, "id 1 is zero or that of"},
		"two titles":       {func(d *dashboard) { d.Panels[1].Title = d.Panels[0].Title }, "used twice"},
		"overlap":          {func(d *dashboard) { d.Panels[1].GridPos = d.Panels[0].GridPos }, "lies on"},
		"off the grid":     {func(d *dashboard) { d.Panels[2].GridPos.X = 23 }, "is not on the grid"},
		"fixed source":     {func(d *dashboard) { d.Panels[3].Targets[0].Datasource.UID = "abc" }, "not the chosen one"},
		"no description":   {func(d *dashboard) { d.Panels[4].Description = "" }, "no description"},
		"unit":             {func(d *dashboard) { d.Panels[5].FieldConfig.Defaults.Unit = "seconds" }, `unit "seconds"`},
		"PromQL":           {func(d *dashboard) { d.Panels[6].Targets[0].Expr = "sum(" }, "parse error"},
		"fixed window":     {func(d *dashboard) { d.Panels[6].Targets[0].Expr = "rate(keylease_calls_total[5m])" }, "$__rate_interval"},
		"no legend":        {func(d *dashboard) { d.Panels[7].Targets[0].LegendFormat = "" }, "no legend"},
		"no targets":       {func(d *dashboard) { d.Panels[8].Targets = nil }, "asks for nothing"},
		"variable":         {func(d *dashboard) { d.Templating.List = nil }, "no variable"},
		"unknown variable": {func(d *dashboard) { d.Panels[6].Targets[0].Expr = "rate(keylease_calls_total[$__interval_typo])" }, "parse error"},
	} {
		d := good(t)
		broken.change(&d)
		all := faults(d)
		if !strings.Contains(strings.Join(all, "\n"), broken.said) {
			t.Errorf("%s: %q is not in %q", name, broken.said, all)
		}
	}
}
