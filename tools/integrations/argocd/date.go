package argocd

import (
	"strings"
	"time"
)

// date formats a time by a format of C's strftime, as far as our scripts use it:
// "!" at the beginning is UTC, and without it the answer would depend on where
// Argo CD runs.
func date(format string, now time.Time) string {
	if rest, utc := strings.CutPrefix(format, "!"); utc {
		format, now = rest, now.UTC()
	}
	letters := strings.NewReplacer(
		"%Y", now.Format("2006"), "%m", now.Format("01"), "%d", now.Format("02"),
		"%H", now.Format("15"), "%M", now.Format("04"), "%S", now.Format("05"),
	)
	return letters.Replace(format)
}
