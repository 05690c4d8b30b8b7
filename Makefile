# Gnomon's targets. Everything happens in .venv; Python >= 3.11 is all that has to be there.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCKED := --universal --python-version 3.11 --generate-hashes --no-emit-package gnomon --no-header --no-annotate --quiet
MARKED := test-enhanced-memory test-enhanced-chat test-feature-flags test-safe-migration test-fallback test-performance \
          test-components test-memory-hooks

# several test processes, each with servers of its own; the slow ones wait more than they compute
SHARED := --dist worksteal --numprocesses

# what is imported is kept compiled, whatever the machine's own setting: the tests start hundreds of processes
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos test-fast lint format bench lock clean $(MARKED)

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-22s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready  ## make .venv with the locked dependencies and both distributions, editable

$(VENV)/.ready: requirements-dev.lock pyproject.toml live/python/pyproject.toml live/python/gnomon/_usual.c
	@$(PYTHON) -c 'import sys; sys.exit("Gnomon needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable live/python --editable .
	@touch $@

demo: setup  ## the main job in under a minute: capture, replay, compare, report, gate
	@$(BIN)/gnomon demo

test: setup  ## every test: fast ones first, then those with real servers and workers
	$(BIN)/python -m pytest -m "not slow" $(SHARED) 2 && $(BIN)/python -m pytest -m slow $(SHARED) 3

chaos: setup  ## break everything for real, at length (about an hour), judge 200,000 pairs; MARKDOWN=FILE keeps the table
	$(BIN)/python -m pytest tests/comparators tests/chaos tests/bench -v -m chaos --timeout 3600 -o faulthandler_timeout=3630 $(if $(MARKDOWN),--markdown $(MARKDOWN))

test-fast: setup  ## the tests that start no server
	$(BIN)/python -m pytest -m "not slow"

test-enhanced-memory: ## the enhanced memory keeps and gives back what legacy does
test-enhanced-chat:   ## the enhanced chat client
test-feature-flags:   ## who is served by enhanced
test-safe-migration:  ## the safe migration service in the place of legacy
test-fallback:        ## whatever enhanced does, the caller gets legacy's answer
test-performance:     ## the benchmarks work and count right; no figure is asserted
test-components:      ## what the example application shows of the memory
test-memory-hooks:    ## what the example application holds of the memory

$(MARKED): test-%: setup  # the tests with the marker of that name, one a line; none at all is an error
	$(BIN)/python -m pytest -v -m $(subst -,_,$*)

lint: setup  ## ruff, mypy, import-linter, pip-audit
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python deploy/audit.py

format: setup  ## let ruff put the code in order
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup  ## measure: ours beside what one would write by hand
	$(BIN)/python -m bench

lock:  ## resolve the lock files anew (needs uv): one resolution, from which the other locks are cut
	uv pip compile pyproject.toml --group dev --extra flower $(LOCKED) --output-file requirements-dev.lock
	uv pip compile pyproject.toml --constraint requirements-dev.lock $(LOCKED) --output-file requirements.lock
	uv pip compile pyproject.toml --extra flower --constraint requirements-dev.lock $(LOCKED) --output-file deploy/requirements-flower.lock
	printf 'hatchling\nsetuptools\n' | uv pip compile - --constraint requirements-dev.lock $(LOCKED) --output-file deploy/requirements-build.lock

clean:  ## remove what the targets made
	rm -rf $(VENV) .gnomon build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf live/python/build live/python/gnomon/*.so
	find . -name __pycache__ -prune -exec rm -rf {} +
