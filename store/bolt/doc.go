// Package bolt is the store of a single host: one bbolt file, fsynced at each Apply, locked against a second daemon.
//
// The file holds two buckets: meta with the schema version, and data with an entry for each key: eight bytes of
// revision, four of CRC-32C over key, revision and value, and the value. bbolt checks its root pages only, so every
// entry is verified when the file is opened and again when it is read.
//
// A file that cannot be trusted is refused and left as it was: Sluice would otherwise give addresses twice. Start with
// Open.
package bolt
