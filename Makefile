# The two commands a newcomer needs: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCE := consulfwd tests $(wildcard benchmarks)
REAL   := tests/integration tests/e2e
# One process for each generation of Consul, and two for what has clusters of its own: those wait.
BESIDE := -n 4 --dist loadscope --no-loadscope-reorder
# REPORT=FILE: what became of each test, for `python -m tests.slowest FILE`.
JUNIT   = $(if $(REPORT),--junitxml=$(REPORT))

.DEFAULT_GOAL := help
.PHONY: help run test tools consul lint unit integration e2e cluster bench clean

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):[^#]*## \(.*\)/  make \1 \t\2/p' $(MAKEFILE_LIST) | expand -t 22
	@echo '  (make PYTHON=/path/to/python3.12 ... uses that Python for a new .venv)'

run: $(VENV)/.run ## install, and serve the embedded development agents on 127.0.0.1:5300
	@exec $(BIN)/consulfwd serve --dev --listen 127.0.0.1:5300

test: ## install all the tests need, real Consul included, and run everything
	@scripts/run-tests

tools: ## only install the system's packages the tests need (as root or by sudo)
	@scripts/install-test-tools

consul: ## only install the two generations of Consul the tests run on
	@scripts/install-consul

lint: $(VENV)/.test ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/mypy --strict $(SOURCE)

unit: $(VENV)/.test ## the fast tests
	@$(BIN)/python -m pytest $(REAL:%=--ignore=%) tests

integration: $(VENV)/.test ## the tests on real Consul, unbound and BIND
	@$(BIN)/python -m pytest $(BESIDE) $(JUNIT) tests/integration

e2e: $(VENV)/.test ## a whole cluster of MariaDB Galera, Icinga, BIND and Consul, and what breaks it (as root)
	@scripts/install-test-tools --e2e
	@scripts/install-consul
	@$(MAKE) --no-print-directory cluster

cluster: $(VENV)/.test # the same, everything being installed
	@$(BIN)/python -m pytest $(JUNIT) tests/e2e

bench: $(VENV)/.test ## the side-by-side benchmarks
	@scripts/install-test-tools --bench
	@scripts/install-consul
	@scripts/install-coredns
	@$(BIN)/python -m benchmarks all

clean: ## remove .venv and all caches in this folder
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment serves both; what is needed to run comes without what is needed to test.
$(VENV)/.run: $(BIN)/python setup.cfg pyproject.toml
	@echo 'installing consulfwd into $(VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: $(BIN)/python setup.cfg pyproject.toml
	@echo 'installing consulfwd and what its tests need into $(VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $(VENV)/.run $@

$(BIN)/python:
	@scripts/make-venv '$(PYTHON)' $(VENV)
