# Everything starts here: `make help`. Only make and a Python of 3.11 or newer are needed beforehand.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Compiled modules are kept beside the sources: each service, child and test worker starts the sooner.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SERVICES := auth catalog scheduler runner validator audit
USES_EXPRESSIONS := catalog runner validator
LIBRARIES := libs/common/pyproject.toml libs/expressions/pyproject.toml
PROJECTS := $(LIBRARIES) deploy/local/pyproject.toml $(SERVICES:%=services/%/pyproject.toml)
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(UPGRADE)
TESTS ?= tests
NPM_CLIENTS := tests/conformance/js
NPM_STAMP := $(NPM_CLIENTS)/node_modules/.installed
PYTEST := $(BIN)/python -m pytest
# one more than there are cores: a third of the time is spent waiting for what was started, killed or is due
WORKERS := $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)

##@ Run

.PHONY: up
up: setup ## Start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/python -m deploy.local up

.PHONY: demo
demo: setup ## Start everything and run the main job on example data; ONCE=1 stops after printing
	@ONCE="$(ONCE)" exec $(BIN)/python -m deploy.local demo

##@ Check

.PHONY: test
test: setup clients ## Run all tests that a change needs (TESTS=tests/bus narrows them)
	$(PYTEST) $(TESTS) -m "not long and not chaos" -n $(WORKERS) --dist loadfile

.PHONY: test-chaos
test-chaos: setup ## Kill, crash and break out at many moments; every build does, within five minutes
	$(PYTEST) $(TESTS) -m "chaos and not long" -n $(WORKERS) --dist loadfile

.PHONY: clients
clients: $(NPM_STAMP) ## Install the OAuth clients of npm that tests/conformance runs, if there is npm

$(NPM_STAMP): $(NPM_CLIENTS)/package.json $(NPM_CLIENTS)/package-lock.json
	@if npm ci --prefix $(NPM_CLIENTS) --ignore-scripts --no-audit --no-fund --silent; then touch $@; \
	else echo "npm is missing or could not install $(NPM_CLIENTS): its tests will be skipped" >&2; fi

.PHONY: test-long
test-long: setup ## Run the chaos, fuzz and scale suites, each within its budget (SUITES=jail narrows them)
	$(BIN)/python -m tests.long $(SUITES)

.PHONY: lint
lint: setup ## Check style, types and the shape of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: check-deploy
check-deploy: setup ## Check images and manifests without a cluster
	$(PYTEST) tests/deploy tests/k8s -m "not long" -q

.PHONY: bench
bench: setup ## Run the benchmarks and print ratios against baselines of the same run
	$(BIN)/python -m bench

##@ Develop

.PHONY: setup
setup: $(STAMP) ## Make .venv with exactly the locked packages

$(STAMP): requirements-bootstrap.txt requirements.txt requirements-dev.txt
	@python=""; for name in python3 python3.14 python3.13 python3.12 python3.11; do \
		if command -v $$name >/dev/null && $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 or newer is needed, with its venv module; none of python3, python3.11 ... python3.14 is that." >&2; exit 1; fi; \
	test -x $(BIN)/python || $$python -m venv $(VENV)
	@$(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --require-hashes -r requirements-bootstrap.txt
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-bootstrap.txt -r requirements.txt -r requirements-dev.txt
	@touch $@

.PHONY: lock
lock: $(BIN)/uv ## Compile the locked requirements from the pyprojects (UPGRADE=--upgrade takes newer versions)
	$(COMPILE) $(PROJECTS) -o requirements.txt
	$(COMPILE) --group dev -c requirements.txt -o requirements-dev.txt
	echo uv | $(COMPILE) - -o requirements-bootstrap.txt
	for service in $(SERVICES); do \
		libraries=libs/common/pyproject.toml; \
		case " $(USES_EXPRESSIONS) " in *" $$service "*) libraries="$(LIBRARIES)";; esac; \
		$(COMPILE) services/$$service/pyproject.toml $$libraries -c requirements.txt -o services/$$service/requirements.txt; \
	done

$(BIN)/uv:
	@python3 -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv

.PHONY: docs
docs: setup ## Write the generated documents again
	$(BIN)/python -m docs.generate

.PHONY: clean
clean: ## Remove what running and testing left here; data in .regent stays
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
