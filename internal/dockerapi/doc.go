// Package dockerapi asks a Docker engine what network plugins are not told: which container an endpoint belongs to, the
// containers' labels, and when any of it changes.
//
// It calls what answers while a plugin request is under way: lists and network inspect. Container inspect would wait for
// the lock that Docker holds until the plugin has answered: Domains alone asks so, for those who can wait. Start with
// Client.
package dockerapi
