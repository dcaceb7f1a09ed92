// Package own has the daemon's own metrics, sluice_…: what is counted where it happens, by Recorder (recorder.go),
// which the packages endpoint, driver and api/server know as interfaces of their own, and what is read when somebody
// scrapes, by Collector (collector.go) from the functions of Sources. Metrics are defined in definitions.go, and
// nowhere else.
//
// A source that fails leaves its metrics out of one scrape and is counted; the others are there.
package own
