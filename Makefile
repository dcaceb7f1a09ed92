# The commands of the project; `make help` lists them.
CLANG  ?= clang
BPFOBJ := $(patsubst bpf/%.bpf.c,datapath/obj/%.o,$(wildcard bpf/*.bpf.c))

.PHONY: build bpf generate help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

bpf: $(BPFOBJ) ## compile the BPF objects

datapath/obj/%.o: bpf/%.bpf.c $(wildcard bpf/*/*.h)
	$(CLANG) -O2 -g -Wall -Werror -target bpf -mcpu=v3 -I/usr/include/$(shell uname -m)-linux-gnu -c $< -o $@
	llvm-strip -g $@

build: bpf ## build bin/sluiced and bin/sluice
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/sluiced ./cmd/sluice

generate: ## write internal/abi and docs/reference from bpf/
	go run ./internal/gen -clang $(CLANG)
