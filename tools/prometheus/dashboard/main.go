// Judges a Grafana dashboard without Grafana.
//
//	dashboard check FILE        its structure, and its PromQL
//	dashboard show [flags] FILE what each panel shows, asked of a Prometheus;
//	                            fails if a query has no data
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: dashboard check FILE | dashboard show [flags] FILE")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	address := flags.String("prometheus", "http://127.0.0.1:9090", "where Prometheus answers")
	scrape := flags.Duration("scrape-interval", 30*time.Second, "how often it scrapes")
	since := flags.Duration("since", time.Hour, "how far to look back")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("name one dashboard")
	}
	d, err := load(flags.Arg(0))
	if err != nil {
		return err
	}
	switch args[0] {
	case "check":
		return check(d)
	case "show":
		w, err := newWindow(*address, *scrape, *since)
		if err != nil {
			return err
		}
		return show(context.Background(), os.Stdout, d, w)
	default:
		return fmt.Errorf("no such command: %s", args[0])
	}
}

func check(d dashboard) error {
	found := faults(d)
	for _, fault := range found {
		fmt.Fprintln(os.Stderr, fault)
	}
	if len(found) > 0 {
		return fmt.Errorf("%d faults", len(found))
	}
	fmt.Printf("ok %d panels\n", len(d.Panels))
	return nil
}
