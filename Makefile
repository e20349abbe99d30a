# pact-operator: build, test, try. Needs Rust, Go (builds Kubernetes' own tools for the tests), a C compiler, Python 3.
.DEFAULT_GOAL := help
.PHONY: help build book reference commands units simulate endurance promises earliest loaded test test-matrix test-gitops e2e image demo cluster bench bench-quick soak crds chart alerts page workflows code lint

CARGO ?= cargo

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the operator: target/debug/pact-operator
	$(CARGO) build --locked

# Promises that are kept under load: each runs alone, or they would measure each other.
LOADED := chart_uninstall gate_replicas gate_rotation gate_storm gate_connections gate_faults certificates::rotation
# How many of the others run at once. More than one for each core starves control planes, and timeouts run out.
TEST_THREADS ?= 2

test: commands units simulate promises earliest loaded ## all tests; the first time builds a Kubernetes control plane from source (minutes, with progress)

commands:
	@charts/commands.py "$$(tests/cluster/build.sh | tail -n 1)/helm"

units:
	$(CARGO) test --locked --workspace --lib --bins

SEEDS ?= 10000
simulate: ## the recorder's rules in SEEDS random worlds in which everything goes wrong; SIMULATION_SEED=7 repeats one
	SIMULATION_SEEDS=$(SEEDS) $(CARGO) test --locked --test simulation -- --nocapture

# The short forms of the same tests are among the promises.
endurance: ## kills, stops, outages and API server restarts by the hundred (an hour); ENDURANCE_SEED=7 repeats one
	ENDURANCE_KILLS=500 ENDURANCE_ROLLOUTS=500 ENDURANCE_API_RESTARTS=20 ENDURANCE_STOPS=100 ENDURANCE_ANNOUNCEMENTS=10000 \
	  HOLD_ROLLOUTS=100 \
	  $(CARGO) test --locked --no-fail-fast --test promises -- --test-threads=1 --nocapture endurance_ hold_endurance

promises:
	$(CARGO) test --locked --workspace --no-fail-fast --test contract --test promises -- \
	  --test-threads=$(TEST_THREADS) $(addprefix --skip ,$(LOADED))

loaded:
	$(CARGO) test --locked --test promises -- --test-threads=1 $(LOADED)

# The earliest supported minor, emulated by the usual API server: it does not stream lists. Only test-matrix runs the
# minors' own API servers, and a minor that is newer than the usual one.
earliest:
	tests/cluster/minors.sh --emulated chart::every_choice v1.33
	tests/cluster/minors.sh --emulated crd_validation v1.33
	tests/cluster/minors.sh --emulated chart_rights::each_right v1.33

test-matrix: ## the chart's tests with the API server of each minor, 1.33 to 1.37 (the first time builds four: 30 minutes)
	tests/cluster/minors.sh chart::

# One at a time: each test waits for pauses of the tools, and they share one control plane.
test-gitops: ## the real Argo CD, Flux, Argo Rollouts, Flagger and helm around the operator (the first time builds them: 25 minutes)
	@tests/cluster/build.sh >/dev/null
	tests/gitops/tools/build.sh $(notdir $(patsubst %/,%,$(wildcard tests/gitops/tools/*/)))
	$(CARGO) test --locked --no-fail-fast --test gitops -- --test-threads=1

e2e: ## chart and image on a cluster that runs containers (see tests/e2e/run.sh; kind where nothing else is given)
	tests/e2e/run.sh

IMAGE ?= pact-operator:dev
image: ## the image IMAGE, with docker, podman or buildah
	@for builder in docker podman buildah; do \
	  if $$builder info >/dev/null 2>&1; then exec $$builder build -t $(IMAGE) -f Containerfile .; fi; \
	done; echo "no image builder that works: docker, podman and buildah were tried; image/rootfs.sh lays the image's files out without one" >&2; exit 1

# Both builds at once: one compiles serially where the other does not.
demo: ## real rollouts become records, and bad ones are stopped; KEEP=1 leaves everything running
	@tests/cluster/build.sh >/dev/null & tools=$$!; \
	$(CARGO) build --locked --bins --example demo || { kill $$tools; exit 1; }; \
	wait $$tools
	@KEEP=$(KEEP) $(CARGO) run --locked --quiet --example demo

cluster: build ## control plane, broker and operator to play with until Ctrl-C; BROKER_URL= and KUBECONFIG= use yours
	@tests/cluster/build.sh >/dev/null
	$(CARGO) run --locked --quiet --example cluster

bench: ## the measurements of benches/
	@tests/cluster/build.sh >/dev/null
	$(CARGO) bench --locked

bench-quick: ## a few ratios of the dev build beside benches/ratios.json; UPDATE=1 writes that anew
	@tests/cluster/build.sh >/dev/null
	BENCH_RATIOS=$(if $(UPDATE),update,check) $(CARGO) bench --locked --profile dev --no-fail-fast --bench gate --bench recorder

SOAK_MINUTES ?= 30
# `dev` compiles within a minute what is not shipped.
SOAK_PROFILE ?= bench
soak: ## SOAK_MINUTES of changes, kills and rotations (30; 3 is the short form): nothing is lost, nothing grows
	@tests/cluster/build.sh >/dev/null
	SOAK_MINUTES=$(SOAK_MINUTES) $(CARGO) bench --locked --profile $(SOAK_PROFILE) --bench soak

crds: build ## write crds/ and the chart's copies anew from the types
	@mkdir -p crds
	$(CARGO) run --locked --quiet -- crds --output crds
	cp crds/*.yaml charts/pact-operator/files/crds/

chart: ## the chart's suites, that they miss no value, and its README
	charts/suites.py
	charts/readme.py --check

book: ## the book of docs/: target/book/index.html; the first time builds mdbook (a minute)
	@mdbook=$$(tests/tools/mdbook.sh | tail -n 1) && "$$mdbook" build docs
	@tests/tools/book_links.py target/book

reference: ## write the pages of docs/reference and docs/troubleshooting anew that are made from types and values
	UPDATE=1 $(CARGO) test --locked --lib documentation_tests
	charts/readme.py

alerts: ## the chart's alerts and dashboard, tried with promtool; the first time builds it (minutes)
	@tests/alerts/run.sh

page: ## the page of `matrix` in a browser: pictures, axe, keyboard, print (needs Chromium and npm)
	@CARGO="$(CARGO)" tests/page/run.sh

workflows: ## the workflows of .github, read by actionlint
	@actionlint=$$(tests/tools/build.sh actionlint) && "$$actionlint" .github/workflows/*.yaml

lint: code chart alerts workflows ## rustfmt, clippy, rustdoc, cargo deny, the chart's suites and README, alerts and dashboard, workflows
	.ci/deny

code:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --test e2e --test gitops -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --document-private-items
