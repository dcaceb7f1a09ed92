# The commands of the project; `make help` lists them. Tools that a target lacks are installed with apt (need.sh).
CLANG   ?= clang
PREFIX  ?= /usr/local
DESTDIR ?=
UNITDIR ?= /etc/systemd/system
NEED    := contrib/scripts/need.sh
RELEASE ?=

BPFOBJ  := $(patsubst bpf/%.bpf.c,datapath/obj/%.o,$(wildcard bpf/*.bpf.c))
BPFDEPS := $(wildcard bpf/*/*.h)
UIPAGE  := observe/ui/dist/index.html
UISOURCES := ui/build.mjs ui/package.json $(wildcard ui/public/* ui/src/*.* ui/src/*/*.*)
INCLUDE := -I/usr/include/$(shell uname -m)-linux-gnu
GO      := CGO_ENABLED=0 go
LDFLAGS := -s -w $(if $(RELEASE),-X github.com/sluice-net/sluice/api.release=$(RELEASE))

.DEFAULT_GOAL := help
.PHONY: help build bpf ui generate lint test test-unit test-packet test-netns test-docker test-kernel bench run stop man \
	install uninstall clean probe

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: bpf $(if $(NOUI),,ui) ## build bin/sluiced and bin/sluice (NOUI=1: without the page, and without Node.js)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/sluice ./cmd/sluiced

bpf: $(BPFOBJ) ## compile the BPF objects

ui: $(UIPAGE) ## build the page that sluiced embeds (npm)

$(UIPAGE): ui/node_modules/.package-lock.json $(UISOURCES) | need-ui
	cd ui && node build.mjs

ui/node_modules/.package-lock.json: ui/package-lock.json ui/.npmrc | need-ui
	cd ui && npm ci --no-progress && touch node_modules/.package-lock.json

datapath/obj/%.o: bpf/%.bpf.c $(BPFDEPS) | need-build
	$(CLANG) -O2 -g -Wall -Werror -target bpf -mcpu=v3 $(INCLUDE) -c $< -o $@
	llvm-strip -g $@

need-%:
	@$(NEED) $*

generate: need-build ## write internal/abi and docs/reference from bpf/ and the commands
	go run ./internal/gen -clang $(CLANG)
	$(GO) run ./cmd/sluice/internal/gendoc -markdown docs/reference/cli.md

lint: bpf $(if $(NOUI),,ui) ## check formatting, go vet, the import law, documentation and lengths
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
		[ -z "$$unformatted" ] || { echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) test -count=1 ./internal/archtest
	$(if $(NOUI),,cd ui && npx --no-install tsc --noEmit)

test: ## run every tier of tests that this machine can run
	@contrib/scripts/test.sh

test-unit: ## run the tests that need no privileges, with the race detector
	@contrib/scripts/test.sh unit
test-packet: ## run packets through the BPF programs (root)
	@contrib/scripts/test.sh packet
test-netns: ## test in network namespaces (root)
	@contrib/scripts/test.sh netns
test-docker: ## run the scenarios on two Docker engines (root)
	@contrib/scripts/test.sh docker
test-kernel: ## run packet and netns tests on other kernels (qemu)
	@contrib/scripts/test.sh kernel

probe: ## build bin/probe, the network tool of the tests and the demonstration
	$(GO) build -trimpath -ldflags '-s -w' -o bin/ ./integration/cmd/probe

bench: build probe need-bench ## measure against Docker's bridge and a bare veth pair (root; QUICK=1: two minutes)
	$(GO) run ./bench $(if $(QUICK),--quick) $(BENCHFLAGS)

run: build probe need-run ## bring up an engine, the daemon and three containers, and show what Sluice does (root)
	@contrib/demo/run.sh

stop: ## undo make run
	@contrib/demo/stop.sh

man: ## write the manual pages into bin/man
	$(GO) run ./cmd/sluice/internal/gendoc -man bin/man

SHARE := $(DESTDIR)$(PREFIX)/share

install: build man ## install the binaries, unit, manual pages, completion and Docker's plugin link
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin bin/sluice bin/sluiced
	install -d $(DESTDIR)$(PREFIX)/lib/docker/cli-plugins $(DESTDIR)$(UNITDIR) $(DESTDIR)/etc/sluice
	ln -sf $(PREFIX)/bin/sluice $(DESTDIR)$(PREFIX)/lib/docker/cli-plugins/docker-sluice
	sed 's|@PREFIX@|$(PREFIX)|g' contrib/systemd/sluiced.service >$(DESTDIR)$(UNITDIR)/sluiced.service
	[ -e $(DESTDIR)/etc/sluice/sluiced.yaml ] || install -m 644 contrib/systemd/sluiced.yaml $(DESTDIR)/etc/sluice/
	install -D -m 644 -t $(SHARE)/man/man1 bin/man/sluice*.1
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	bin/sluice completion bash >$(SHARE)/bash-completion/completions/sluice
	bin/sluice completion zsh >$(SHARE)/zsh/site-functions/_sluice
	bin/sluice completion fish >$(SHARE)/fish/vendor_completions.d/sluice.fish
	[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload

uninstall: ## take Sluice out of the kernel and remove what install put there (the state and /etc/sluice stay)
	-[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || systemctl disable --now sluiced
	[ -n "$(DESTDIR)" ] || [ ! -x $(PREFIX)/bin/sluiced ] || \
		$(PREFIX)/bin/sluiced --remove $$(ls /etc/sluice/sluiced.yaml 2>/dev/null | sed 's/^/--config /')
	rm -f $(DESTDIR)$(PREFIX)/bin/sluice $(DESTDIR)$(PREFIX)/bin/sluiced \
		$(DESTDIR)$(PREFIX)/lib/docker/cli-plugins/docker-sluice $(DESTDIR)$(UNITDIR)/sluiced.service \
		$(SHARE)/man/man1/sluice.1 $(SHARE)/man/man1/sluice-*.1 \
		$(SHARE)/bash-completion/completions/sluice $(SHARE)/zsh/site-functions/_sluice \
		$(SHARE)/fish/vendor_completions.d/sluice.fish
	[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload

clean: ## remove what was built
	rm -rf bin $(BPFOBJ) ui/node_modules ui/.cache $(filter-out %/placeholder.html,$(wildcard observe/ui/dist/*))
