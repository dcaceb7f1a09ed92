package listen

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
)

// Files are the PEM files of TLS. They may be replaced at any time: the next connection uses the new ones. Files that
// cannot be read then leave the ones before in use.
type Files struct {
	Cert, Key string // of the server
	ClientCA  string // whose client certificates are accepted; empty: clients show none
}

// config returns the configuration of a server. With optional, clients need not show a certificate.
func (f Files) config(protocols []string, optional bool) (*tls.Config, error) {
	c := &certificates{files: f, protocols: protocols, optional: optional}
	if _, err := c.current(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current() },
	}, nil
}

// certificates are files as they were read last.
type certificates struct {
	files     Files
	protocols []string
	optional  bool

	mu   sync.Mutex
	seen []os.FileInfo
	conf *tls.Config
}

// current returns the configuration of the files as they are now. Files that cannot be used are an error only if none
// could before.
func (c *certificates) current() (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.stat()
	if c.conf != nil && (err != nil || sameFiles(seen, c.seen)) {
		return c.conf, nil
	}
	conf, readErr := c.read()
	if err == nil {
		err = readErr
	}
	if err != nil && c.conf == nil {
		return nil, err
	}
	if err == nil {
		c.conf, c.seen = conf, seen
	}
	return c.conf, nil
}

func (c *certificates) stat() ([]os.FileInfo, error) {
	var all []os.FileInfo
	for _, path := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

// sameFiles reports whether files are as they were.
func sameFiles(a, b []os.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}

func (c *certificates) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: c.protocols, Certificates: []tls.Certificate{pair}}
	if c.files.ClientCA == "" {
		return conf, nil
	}
	text, err := os.ReadFile(c.files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read CA of clients: %w", err)
	}
	conf.ClientCAs = x509.NewCertPool()
	if !conf.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read CA of clients %s: it has no certificate in PEM form", c.files.ClientCA)
	}
	conf.ClientAuth = tls.RequireAndVerifyClientCert
	if c.optional {
		conf.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return conf, nil
}
