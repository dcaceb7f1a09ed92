// Package storetest holds the conformance suite of store.Store: every backend's tests call Run.
package storetest
