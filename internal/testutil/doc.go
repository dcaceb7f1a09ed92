// Package testutil holds the few things that tests of several packages need: the one way to skip, above all.
//
// Tests that need root are named TestPrivileged… and begin with Privileged. Every skip goes through this package, so
// that a run can list what it left out and why, and so that a skip on a machine that is able fails (internal/archtest
// sees to the names and the calls). Certificates of tests are made here, too. It knows nothing of the project's packages.
package testutil
