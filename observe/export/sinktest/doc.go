// Package sinktest makes flows and certificates for the tests of exports.
package sinktest
