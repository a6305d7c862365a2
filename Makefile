# Two commands do all the set-up: `make demo` and `make test`. SERVERS=mysql or SERVERS=docker in front
# of any target chooses the servers; the default is MariaDB from one cached root.
SERVERS ?= mariadb
export SERVERS
export FLEET_ENV_FILE ?= .servers.env

PYTHON ?= python3
BIN := .venv/bin
DESK := $(PYTHON) deploy/servers/servers.py
AUDIT := pip-audit==2.10.1

.PHONY: demo test servers servers-stop tools up down bench chaos check audit lock clean

demo: $(BIN)/fleet
	@$(DESK) start
	@$(BIN)/python -m deploy.desk.demo

test: $(BIN)/fleet servers tools
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile $(PYTEST)

servers:
	@$(DESK) prerequisites
	@$(DESK) start

tools: # Prometheus and Chromium, for the tests: 250 MB to download, once
	@$(DESK) tools > /dev/null

servers-stop:
	@$(DESK) stop

up: $(BIN)/fleet servers
	@$(BIN)/fleet migrate
	@$(BIN)/python -m workers.up start

down:
	@test ! -x $(BIN)/python || $(BIN)/python -m workers.up stop
	@$(DESK) stop

bench: $(BIN)/fleet servers
	@$(BIN)/python -m tests.bench $(BENCH)

chaos: $(BIN)/fleet servers
	@$(BIN)/python -m tests.chaos $(CHAOS)

check: $(BIN)/fleet
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# Run from a checkout: the names `workers` and `shared` are given, so nothing is installed as a wheel.
$(BIN)/fleet: requirements.lock deploy/fleet
	@echo "Setting up .venv from requirements.lock (about 1 minute, 400 MB)"
	@$(DESK) prerequisites
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@install -m 755 deploy/fleet $(BIN)/fleet

audit: $(BIN)/fleet # known vulnerabilities of requirements.lock; asks the internet, so not in CI
	@test -x .fleet/audit/bin/pip-audit || { $(PYTHON) -m venv .fleet/audit && \
	  .fleet/audit/bin/python -m pip install --quiet --disable-pip-version-check $(AUDIT); } || true
	@$(BIN)/python -m deploy.audit .fleet/audit/bin/pip-audit

lock: # new versions, with hashes, naming no index
	@$(BIN)/pip-compile --quiet --extra dev --generate-hashes --allow-unsafe --strip-extras \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header \
	  --output-file requirements.lock pyproject.toml

clean: down
	@rm -rf .venv .fleet
