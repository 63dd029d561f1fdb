# The two commands: `make demo` and `make test`. Everything else serves them.

CARGO ?= cargo
BIN    = target/release/keylease

.PHONY: help demo test check tools crds build release clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

tools: ## Build the control plane and install the AWS stand-in (first time 8-12 minutes)
	@tools/controlplane/build.sh
	@tools/python/setup.sh

build: ## Build the operator for development
	$(CARGO) build

release: ## Build the operator for use
	$(CARGO) build --release

crds: ## Write the custom resource definitions anew
	$(CARGO) run -q -- crds --dir crds

clean: ## Remove everything that was built
	$(CARGO) clean
