package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct{ grpc, http, cert, key, clientCA, out string }

func parse() (settings, error) {
	var s settings
	flag.StringVar(&s.grpc, "grpc", "127.0.0.1:4317", "address of gRPC")
	flag.StringVar(&s.http, "http", "127.0.0.1:4318", "address of HTTP")
	flag.StringVar(&s.cert, "cert", "", "certificate; without it there is no TLS")
	flag.StringVar(&s.key, "key", "", "its key")
	flag.StringVar(&s.clientCA, "client-ca", "", "who signs clients' certificates; without it none is asked for")
	flag.Parse()
	if flag.NArg() != 1 {
		return s, fmt.Errorf("name the file to write")
	}
	s.out = flag.Arg(0)
	return s, nil
}

// protocol returns the configuration of one protocol, as a collector's file has it.
func (s settings) protocol(endpoint string) map[string]any {
	p := map[string]any{"endpoint": endpoint}
	if s.cert != "" {
		tls := map[string]any{"cert_file": s.cert, "key_file": s.key}
		if s.clientCA != "" {
			tls["client_ca_file"] = s.clientCA
		}
		p["tls"] = tls
	}
	return p
}

func run() error {
	s, err := parse()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(s.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	err = confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"grpc": s.protocol(s.grpc), "http": s.protocol(s.http),
	}}).Unmarshal(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return serve(ctx, config, &lines{file: file})
}

// serve runs the receivers of both kinds until the context ends. They share their servers.
func serve(ctx context.Context, config component.Config, out *lines) error {
	factory := otlpreceiver.NewFactory()
	set := receivertest.NewNopSettings(factory.Type())
	logs, err := consumer.NewLogs(out.logs)
	if err != nil {
		return err
	}
	spans, err := consumer.NewTraces(out.spans)
	if err != nil {
		return err
	}
	logReceiver, err := factory.CreateLogs(ctx, set, config, logs)
	if err != nil {
		return err
	}
	spanReceiver, err := factory.CreateTraces(ctx, set, config, spans)
	if err != nil {
		return err
	}
	host := componenttest.NewNopHost()
	for _, r := range []component.Component{logReceiver, spanReceiver} {
		if err := r.Start(ctx, host); err != nil {
			return err
		}
		defer r.Shutdown(context.Background())
	}
	<-ctx.Done()
	return nil
}

// lines writes requests, one a line.
type lines struct {
	mu   sync.Mutex
	file *os.File
}

func (l *lines) logs(_ context.Context, logs plog.Logs) error {
	return l.write((&plog.JSONMarshaler{}).MarshalLogs(logs))
}

func (l *lines) spans(_ context.Context, spans ptrace.Traces) error {
	return l.write((&ptrace.JSONMarshaler{}).MarshalTraces(spans))
}

func (l *lines) write(line []byte, err error) error {
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.file.Write(append(line, '\n'))
	return err
}
