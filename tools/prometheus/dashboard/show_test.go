package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

func TestLegendsAreFilledFromLabels(t *testing.T) {
	metric := model.Metric{"service": "iam", "operation": "CreateUser"}
	if got := named("{{service}} {{ operation }} {{none}}", metric); got != "iam CreateUser " {
		t.Errorf("%q", got)
	}
}

func TestValuesAreShownInTheirUnit(t *testing.T) {
	for _, c := range []struct {
		value float64
		unit  string
		want  string
	}{
		{3, "short", "3"},
		{0.0421, "s", "42.1 ms"},
		{0, "s", "0 s"},
		{2.5, "s", "2.5 s"},
		{7200, "s", "2h0m0s"},
		{0.5, "reqps", "0.5 req/s"},
	} {
		if got := shown(c.value, c.unit); got != c.want {
			t.Errorf("%v %s is shown as %q and not %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestASparklineHasGapsAndItsOwnScale(t *testing.T) {
	if got := sparkline([]float64{0, math.NaN(), 5, 10}); got != "▁ ▅█" {
		t.Errorf("%q", got)
	}
	if got := sparkline([]float64{0, 0}); got != "▁▁" {
		t.Errorf("%q", got)
	}
}

// A Prometheus that knows numbers of one metric, and only NaN of another.
func prometheus(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value := map[string]string{"up[8s]": "1", "quiet": "NaN"}[r.FormValue("query")]
		result := ""
		if value != "" {
			result = fmt.Sprintf(`{"metric":{"job":"keylease"},"values":[[%s,"%s"]]}`, r.FormValue("end"), value)
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[%s]}}`, result)
	}))
	t.Cleanup(server.Close)
	return server
}

func shownBy(t *testing.T, exprs ...string) (string, error) {
	t.Helper()
	w, err := newWindow(prometheus(t).URL, 2*time.Second, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var p panel
	p.Title = "Instances"
	for _, expr := range exprs {
		p.Targets = append(p.Targets, target{Expr: expr, LegendFormat: "{{job}} " + expr})
	}
	var out bytes.Buffer
	err = show(context.Background(), &out, dashboard{Panels: []panel{p}}, w)
	return out.String(), err
}

func TestVariablesAreFilledAndValuesPrinted(t *testing.T) {
	out, err := shownBy(t, "up[$__rate_interval]")
	if err != nil || !strings.Contains(out, "keylease up") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAQueryWithoutNumbersIsAFault(t *testing.T) {
	for _, expr := range []string{"quiet", "unknown"} {
		_, err := shownBy(t, "up[$__rate_interval]", expr)
		if err == nil || !strings.Contains(err.Error(), "Instances ({{job}} "+expr) {
			t.Errorf("%s: %v", expr, err)
		}
	}
}
