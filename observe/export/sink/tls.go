package sink

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// TLS says how a receiver is known, and who this side is. The files are read again for every connection, so that a
// renewed certificate needs no restart.
type TLS struct {
	CA         string `yaml:"ca"`         // PEM file of who signs the receiver's certificate; empty: the system's
	Cert       string `yaml:"cert"`       // PEM file of a certificate of our own
	Key        string `yaml:"key"`        // its key
	ServerName string `yaml:"serverName"` // the name in the receiver's certificate; empty: that of its address
	Insecure   bool   `yaml:"insecure"`   // the receiver's certificate is not checked
}

// Check refuses settings that cannot be meant.
func (t *TLS) Check() error {
	if t == nil {
		return nil
	}
	if (t.Cert == "") != (t.Key == "") {
		return fmt.Errorf("tls: cert and key belong together")
	}
	for name, path := range map[string]string{"ca": t.CA, "cert": t.Cert, "key": t.Key} {
		if path != "" && !filepath.IsAbs(path) {
			return fmt.Errorf("tls.%s: %q is not an absolute path", name, path)
		}
	}
	return nil
}

// Client returns the configuration of one connection to that host. A nil TLS means the system's defaults.
func (t *TLS) Client(host string) (*tls.Config, error) {
	if t == nil {
		t = &TLS{}
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: t.Insecure}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read CA certificates: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read CA certificates %s: there is none in PEM form", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
