# The two commands a newcomer needs: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCE := consulfwd tests $(wildcard benchmarks)
REAL   := tests/integration tests/e2e
# One process for each generation of Consul, one for what is measured under load, one at a time, and
# one for what has clusters of its own. More would leave those that measure without a processor.
BESIDE := -n 4 --dist loadscope --no-loadscope-reorder
# Many of the fast tests wait, so there are two more processes than processors.
QUICK  := -n $(shell n=$$(nproc); echo $$((n < 8 ? n + 2 : 10))) --dist worksteal
FUZZ_SECONDS ?= 60
# REPORT=FILE: what became of each test, for `python -m tests.slowest FILE`.
JUNIT   = $(if $(REPORT),--junitxml=$(REPORT))
# SCRATCH=FOLDER: where tests write, each run in a folder of its own. It is short: names of sockets are.
TEMPS   = $(if $(SCRATCH),--basetemp=$(SCRATCH)/$@)

.DEFAULT_GOAL := help
.PHONY: help run test tools consul lint unit fuzz integration e2e cluster bench renew newest fresh clean

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
	@$(BIN)/mypy --strict $(SOURCE) & mypy=$$!; $(BIN)/ruff check .; ruff=$$?; wait $$mypy && exit $$ruff

unit: $(VENV)/.test ## the fast tests
	@$(BIN)/python -m pytest $(QUICK) $(TEMPS) $(JUNIT) $(REAL:%=--ignore=%) tests

fuzz: $(VENV)/.test ## the property tests by chance, again and again for FUZZ_SECONDS (60)
	@$(BIN)/python -m tests.fuzz.rounds $(FUZZ_SECONDS)

integration: $(VENV)/.test ## the tests on real Consul, unbound and BIND
	@$(BIN)/python -m pytest $(BESIDE) $(TEMPS) $(JUNIT) tests/integration

e2e: $(VENV)/.test ## a whole cluster of MariaDB Galera, Icinga, BIND and Consul, and what breaks it (as root)
	@scripts/install-test-tools --e2e
	@scripts/install-consul
	@$(MAKE) --no-print-directory cluster

cluster: $(VENV)/.test # the same, everything being installed
	@$(BIN)/python -m pytest $(TEMPS) $(JUNIT) tests/e2e

bench: $(VENV)/.test ## the side-by-side benchmarks
	@scripts/install-test-tools --bench
	@scripts/install-consul
	@scripts/install-coredns
	@$(BIN)/python -m benchmarks all

renew: ## pin the newest releases in requirements/; they stay if `make test` passes
	@scripts/renew '$(PYTHON)'

newest: ## what the newest releases would break, unpinned (INTEGRATION=yes: on real Consul too)
	@scripts/newest '$(PYTHON)'

# FRESH="run unit tools test": which of these
FRESH ?= run unit
fresh: ## make run and make unit on a bare system, from nothing (as root; FRESH="run unit test": test, too)
	@scripts/install-test-tools --fresh
	@scripts/fresh $(FRESH)

clean: ## remove .venv and all caches in this folder
	rm -rf --one-file-system $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment serves both; what is needed to run comes without what is needed to test. What is
# installed is what was tested: each package as requirements/ has it, to the checksum.
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The compiled fast lane is built with it where there is a compiler.
FAST    = $(wildcard consulfwd/net/fast/*.[ch])
OURSELF = $(PIP) --no-deps --no-build-isolation --editable .

$(VENV)/.run: $(BIN)/python setup.py setup.cfg pyproject.toml $(FAST) requirements/run.txt
	@echo 'installing consulfwd into $(VENV)'
	@$(PIP) --require-hashes --requirement requirements/run.txt
	@$(OURSELF)
	@touch $@

$(VENV)/.test: $(BIN)/python setup.py setup.cfg pyproject.toml $(FAST) $(wildcard requirements/*.txt)
	@echo 'installing consulfwd and what its tests need into $(VENV)'
	@$(PIP) --require-hashes --requirement requirements/test.txt
	@$(PIP) --no-deps --require-hashes --requirement requirements/files.txt
	@$(OURSELF)
	@$(BIN)/python -c 'import consulfwd.net._fast' 2>/dev/null || { printf '%s: %s\n' \
	    'the tests need the compiled fast lane, which could not be built; on Debian and Ubuntu' \
	    'apt install gcc libc6-dev python3-dev' >&2; exit 1; }
	@touch $(VENV)/.run $@

$(BIN)/python:
	@scripts/make-venv '$(PYTHON)' $(VENV)
