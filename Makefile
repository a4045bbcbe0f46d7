# Two commands matter on a fresh machine: `make demo` and `make test`. Both prepare the environment themselves.
# It needs Python 3.11 to 3.13, make and a package index: no Redis, no Docker, no compiler.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage simulate mutants explore chaos bench run lint types lock clean

VENV ?= .venv
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c '$(SUPPORTED)' 2>/dev/null && { echo "$$p"; break; }; done)

BIN := $(abspath $(VENV))/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
# The Procfile says `celery`, as it does in a container; here that is the one of this environment.
RUN := PATH="$(BIN):$$PATH"

SEED ?= 1
ORDERS ?= 200
KEEP ?=
WORKERS ?= 1
RUNS ?= 10000
JOBS ?= 2
UPGRADE ?=

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-8s %s\n", $$1, $$2 }'

# The environment grows in three steps, each with a stamp. The demo needs two of them.
CREATED := $(VENV)/.created
DEMO := $(VENV)/.demo
DEV := $(VENV)/.dev
LOCKED := --require-hashes --only-binary :all:

# A step says what it does and how many seconds it took: $(call step,what,command).
step = @printf '%s ... ' "$(1)"; began=$$(date +%s); $(2) || { echo failed; exit 1; }; \
	echo "$$(($$(date +%s) - began)) s"

# uv is several times as fast as pip, but reads no pip.conf: where that names the index, pip installs.
# Compiled once here: else each of the demo's processes would compile the same modules as it starts.
install = { $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python $(1) 2>$(VENV)/uv.log || \
	{ printf 'with pip, since uv failed (see $(VENV)/uv.log) ... '; $(PIP) install $(1); }; }
from_lock = $(call step,installing the $$(grep -c == $(1)) packages of $(1),$(call install,$(LOCKED) -r $(1)))

setup: $(DEV) ## prepare .venv from the lock files (only what is new)

$(CREATED): requirements-uv.txt
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 is needed (set PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c '$(SUPPORTED)' || { echo "make: $(PYTHON) is not Python 3.11 to 3.13" >&2; exit 1; }
	$(call step,creating $(VENV) with $$($(PYTHON) --version),\
		{ test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV); } && $(PIP) install $(LOCKED) -r requirements-uv.txt)
	@touch $@

$(DEMO): $(CREATED) requirements-demo.txt pyproject.toml
	$(call from_lock,requirements-demo.txt)
	$(call step,installing countersign itself,$(call install,--no-deps -e .))
	@touch $@

$(DEV): $(DEMO) requirements-dev.txt
	$(call from_lock,requirements-dev.txt)
	@touch $@

demo: $(DEMO) ## 200 paid orders over both suppliers (SEED=n ORDERS=n KEEP=1)
	@$(RUN) $(BIN)/python -m sandbox.demo --seed $(SEED) --orders $(ORDERS) $(if $(filter-out 0,$(KEEP)),--keep)

test: setup ## every test (ARGS="-k name" for some)
	@$(RUN) $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

# Tests that run in the process that is measured, without end-to-end runs.
PROOF := $(wildcard tests/test_ledger*.py) \
	$(patsubst %,tests/test_%.py,policy interventions page_trust page_turn page_search page_budget \
	money forecast balance_look threads dispatcher doors teller failures health messages sealing \
	schemas_logitrail schemas_order schemas_relograde suppliers_http suppliers_logitrail \
	suppliers_relograde known_look commands)
LUA_PROOF := $(wildcard tests/test_ledger*.py) tests/test_page_turn.py tests/test_teller.py tests/test_known_look.py
WHOLE := worker/rules/*,worker/ledger/*
NEARLY := worker/turns/*,worker/web_app/*,worker/suppliers/*,schemas/*

# Without what Hypothesis finds, which differs from run to run: every branch has an example.
coverage: setup ## branches of the Python (rules, ledger: all), lines of the Lua scripts (all)
	@$(BIN)/python -m pytest -q --lua-coverage $(LUA_PROOF) & lua=$$!; \
	$(BIN)/coverage run -m pytest -q -m "not hypothesis" $(PROOF); python=$$?; \
	wait $$lua && exit $$python
	@$(BIN)/coverage report --include='$(WHOLE)' --fail-under=100
	@$(BIN)/coverage report --include='$(NEARLY)' --fail-under=95

simulate: setup ## seeded runs on a virtual clock (RUNS=n SEED=n JOBS=n)
	@$(RUN) $(BIN)/python -m tests.simulation --runs $(RUNS) --seed $(SEED) --jobs $(JOBS)

mutants: setup ## plants faults, one at a time: the simulation must see each
	@$(RUN) $(BIN)/python -m tests.simulation.mutants --jobs $(JOBS) --runs 300

explore: setup ## the real scripts over all interleavings of small worlds (FAULTS=1: plants faults)
	@$(RUN) $(BIN)/python -m tests.explorer --seconds 120 --jobs $(JOBS) $(if $(FAULTS),--faults)

chaos: setup ## kills, freezes and cuts processes (SEED=n ARGS="--orders 500")
	@$(RUN) $(BIN)/python -m tests.chaos --seed $(SEED) $(ARGS)

bench: setup ## the figures of benchmarks/README.md (ARGS="throughput --runs 1")
	@$(BIN)/python -m benchmarks $(ARGS)

# Honcho kills what has not ended after five seconds; a supplier call may take 50, and a killed one has to be asked about.
run: setup ## the Procfile with what the environment or .env names (WORKERS=n)
	@$(RUN) $(BIN)/python -c 'import honcho.manager as m, honcho.command as c; m.KILL_WAIT = 75; c.main()' \
		start --concurrency worker=$(WORKERS),flower=1

lint: setup ## ruff: rules and format; luacheck, where it is installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m tests.lint_lua

types: setup ## mypy
	@$(BIN)/mypy

lock: ## write the lock files (UPGRADE=--upgrade for newer versions)
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	$(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" -qq install uv; \
	compile() { \
		"$$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --no-annotate --no-header $(UPGRADE) "$$@"; \
	}; \
	compile pyproject.toml --extra dev --output-file requirements-dev.txt; \
	compile pyproject.toml --extra demo --constraint requirements-dev.txt --output-file requirements-demo.txt; \
	compile pyproject.toml --constraint requirements-dev.txt --output-file requirements.txt; \
	echo uv | compile - --output-file requirements-uv.txt

clean: ## remove what the commands above made
	@rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
