package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// show prints what each panel shows: the legend, the last value, and how it
// came to that. The error names the queries that have no data.
func show(ctx context.Context, out io.Writer, d dashboard, w window) error {
	fmt.Fprintf(out, "%s: %d panels over %s, a point every %s, rates over %s\n",
		d.Title, len(d.Panels), w.end.Sub(w.start).Round(time.Second), w.step(), w.rateInterval())
	var empty []string
	for _, p := range d.Panels {
		fmt.Fprintf(out, "\n%s\n  %s\n", p.Title, p.Description)
		for _, t := range p.Targets {
			matrix, err := w.ask(ctx, t.Expr)
			if err != nil {
				return fmt.Errorf("%s: %w", p.Title, err)
			}
			lines := 0
			sort.Sort(matrix)
			for _, stream := range matrix {
				if line, ok := render(stream, t.LegendFormat, p.FieldConfig.Defaults.Unit, w); ok {
					fmt.Fprintln(out, line)
					lines++
				}
			}
			if lines == 0 {
				fmt.Fprintf(out, "  %-44s no data\n", t.LegendFormat)
				empty = append(empty, fmt.Sprintf("%s (%s)", p.Title, t.LegendFormat))
			}
		}
	}
	if len(empty) > 0 {
		return fmt.Errorf("no data: %s", strings.Join(empty, ", "))
	}
	return nil
}

// render is one line of a panel. Not ok: there is not one number in it.
func render(stream *model.SampleStream, legend, unit string, w window) (string, bool) {
	values := make([]float64, int(w.end.Sub(w.start)/w.step())+1)
	for i := range values {
		values[i] = math.NaN()
	}
	last := math.NaN()
	for _, sample := range stream.Values {
		value := float64(sample.Value)
		i := int(sample.Timestamp.Time().Sub(w.start) / w.step())
		if i >= 0 && i < len(values) {
			values[i] = value
		}
		if !math.IsNaN(value) {
			last = value
		}
	}
	if math.IsNaN(last) {
		return "", false
	}
	return fmt.Sprintf("  %-44s %10s %s", named(legend, stream.Metric), shown(last, unit), sparkline(values)), true
}

var label = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// named fills a legend with labels, as Grafana does.
func named(legend string, metric model.Metric) string {
	return label.ReplaceAllStringFunc(legend, func(found string) string {
		return string(metric[model.LabelName(label.FindStringSubmatch(found)[1])])
	})
}

// shown is a value in its unit, to three digits.
func shown(value float64, unit string) string {
	if unit == "s" {
		switch {
		case math.Abs(value) >= 120:
			return time.Duration(value * float64(time.Second)).Round(time.Second).String()
		case value != 0 && math.Abs(value) < 1:
			return fmt.Sprintf("%.3g ms", value*1000)
		}
	}
	suffix := map[string]string{"s": " s", "ops": " ops/s", "reqps": " req/s"}[unit]
	return fmt.Sprintf("%.3g%s", value, suffix)
}

var bars = []rune("▁▂▃▄▅▆▇█")

// sparkline draws values from zero, or their least if that is below, to their
// greatest; a gap is a space.
func sparkline(values []float64) string {
	low, high := 0.0, 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			low, high = math.Min(low, v), math.Max(high, v)
		}
	}
	line := make([]rune, 0, len(values))
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			line = append(line, ' ')
		case high == low:
			line = append(line, bars[0])
		default:
			line = append(line, bars[int((v-low)/(high-low)*float64(len(bars)-1)+0.5)])
		}
	}
	return string(line)
}
