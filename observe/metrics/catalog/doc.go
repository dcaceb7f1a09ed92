// Package catalog says what a metric is: name, type, labels, meaning. What is exposed and what docs/reference/metrics.md
// says are made from the same definitions. It holds no values.
package catalog
