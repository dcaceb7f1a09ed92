// Package store is the durable state's contract: slash-separated keys with values and revisions, written all or
// nothing.
//
// It owns the interface, its errors and the check of what an Apply may contain; the backends are bolt (one host) and
// etcd (several), and package storetest holds the suite that both pass. It knows nothing of what is stored: each part
// of Sluice owns the keys under its own first segment and their encoding. Start with Store.
package store
