package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// How long Prometheus may take for one query.
const patience = 30 * time.Second

// How many points a query asks for, as wide as a sparkline is here.
const points = 48

// A prometheus and the stretch of time that is looked at.
type window struct {
	api    v1.API
	scrape time.Duration
	start  time.Time
	end    time.Time
}

func newWindow(address string, scrape, since time.Duration) (window, error) {
	client, err := api.NewClient(api.Config{Address: address})
	if err != nil {
		return window{}, err
	}
	end := time.Now()
	return window{api: v1.NewAPI(client), scrape: scrape, start: end.Add(-since), end: end}, nil
}

// step is the time from one point to the next: Grafana's $__interval.
func (w window) step() time.Duration {
	return max(w.end.Sub(w.start)/points, w.scrape).Truncate(time.Millisecond)
}

// rateInterval is Grafana's $__rate_interval: long enough for four scrapes, and
// for no event to fall between two points.
func (w window) rateInterval() time.Duration {
	return max(w.step()+w.scrape, 4*w.scrape)
}

// filled is an expression as Grafana sends it, its variables replaced.
func filled(expr string, rateInterval time.Duration) string {
	return strings.ReplaceAll(expr, "$__rate_interval", model.Duration(rateInterval).String())
}

// ask evaluates an expression over the window.
func (w window) ask(ctx context.Context, expr string) (model.Matrix, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	expr = filled(expr, w.rateInterval())
	value, warnings, notes, err := w.api.QueryRange(ctx, expr, v1.Range{Start: w.start, End: w.end, Step: w.step()})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	// Such as a rate of what is no counter.
	if doubts := append(warnings, notes...); len(doubts) > 0 {
		return nil, fmt.Errorf("%s: %s", expr, strings.Join(doubts, "; "))
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("%s: not a matrix but %s", expr, value.Type())
	}
	return matrix, nil
}
