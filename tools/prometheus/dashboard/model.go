package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// A dashboard, as far as it is judged here. Grafana's schema has more.
type dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Templating    struct{ List []variable }
	Panels        []panel
}

type variable struct{ Name, Type, Query string }

type source struct{ Type, UID string }

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  source
	GridPos     place
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
	Targets []target
}

// A place on Grafana's grid, which is 24 columns wide.
type place struct{ X, Y, W, H int }

func (p place) overlaps(o place) bool {
	return p.X < o.X+o.W && o.X < p.X+p.W && p.Y < o.Y+o.H && o.Y < p.Y+p.H
}

type target struct {
	RefID        string
	Expr         string
	LegendFormat string
	Datasource   source
}

func load(path string) (dashboard, error) {
	var d dashboard
	text, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}
