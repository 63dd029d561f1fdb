# The two commands: `make demo` and `make test`. Everything else serves them.

CARGO ?= cargo

.PHONY: help demo walkthrough dashboard test e2e e2e-kind node-tools check crashes simulate fuzz chaos bench tools crds integrations reference build release image chart install-plugin clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: tools build ## Run the main job on a local control plane and a local AWS stand-in (KEEP=1 leaves it up)
	@tools/demo.sh

walkthrough: build tools ## What people do with Vault, done with Keylease, and checked
	@tools/walkthrough.sh

dashboard: build tools ## Look at the dashboard: a day's work in two minutes, scraped by a Prometheus (KEEP=1 leaves it up)
	@tools/prometheus/build.sh
	@tools/dashboard.sh

test: tools ## Pass every test that runs here
	@tools/integrations/build.sh
	@tools/test.sh

e2e: ## The image and the chart on a real node, with an application (needs root)
	@tools/e2e.sh node

e2e-kind: ## The same on the cluster of KUBECONFIG, which it uninstalls Keylease from
	@tools/e2e.sh kubeconfig

check: ## Format, lints, generated files
	@tools/check.sh

bench: release tools ## Measure the time from apply to Secret, and what a slow AWS does to it
	$(CARGO) bench -q --bench apply_to_secret
	$(CARGO) bench -q --bench pacing
	$(CARGO) bench -q --bench scale

crashes: ## Play the long lists of crash points and outages too (minutes)
	$(CARGO) test -q --workspace --lib plan:: -- --ignored --nocapture --skip simulation

simulate: ## Play SCHEDULES random schedules from SEED, in virtual time
	SCHEDULES=$(SCHEDULES) SEED=$(SEED) $(CARGO) test -q --workspace --lib simulation::as_many -- --ignored --nocapture

# In the development profile: overflows and debug assertions count as findings.
fuzz: ## Fuzz what comes from outside for SECONDS (60) in all, from SEED
	FUZZ_SECONDS=$(or $(SECONDS),60) FUZZ_SEED=$(SEED) $(CARGO) test -q --workspace --test fuzz -- --nocapture

chaos: tools ## Kill the release binary for MINUTES, drawn from SEED, on a bad day of AWS
	CHAOS_MINUTES=$(or $(MINUTES),5) CHAOS_SEED=$(SEED) $(CARGO) test -q --release --workspace --test chaos -- --nocapture

tools: ## Build the control plane and install the AWS stand-in (first time 8-12 minutes)
	@tools/controlplane/build.sh
	@tools/helm/build.sh
	@tools/python/setup.sh

node-tools: ## Build containerd, kubelet and the rest of a node (first time 5 minutes)
	@tools/node/build.sh

build: ## Build everything for development
	$(CARGO) build --workspace

release: ## Build the operator for use
	$(CARGO) build --release

image: ## Build the image without Docker, from a static binary (needs musl-gcc)
	@tools/image/build.sh

install-plugin: ## Put `kubectl keylease` into ~/.cargo/bin
	$(CARGO) install --path . --locked --bin kubectl-keylease

chart: crds ## Bring the chart's CRDs, deploy/ and the charts' READMEs up to date
	@tools/helm/build.sh
	@tools/python/setup.sh
	@tools/chart.sh write

integrations: ## Write what is made of the files in integrations/ anew
	@tools/integrations.sh write

reference: build ## Write docs/reference/ anew
	target/debug/keylease reference --dir docs/reference

crds: build ## Write the custom resource definitions anew
	target/debug/keylease crds --dir crds

clean: ## Remove everything that was built
	$(CARGO) clean
