.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp-$(shell cksum requirements.lock | tr ' ' '-' | cut -d- -f1)

help: ## show this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: $(STAMP) ## start everything on this machine: http://localhost:8000
	@exec $(PY) -m app.devstack.up

test: $(STAMP) ## run the whole test suite on its own servers
	@$(PY) -m pytest -n 2

soak: $(STAMP) ## run the long fault tests
	@PATCHBAY_SOAK=1 $(PY) -m pytest -s tests/faults tests/counterparts tests/app tests/jobs tests/events

mutants: $(STAMP) ## take each guard away in a copy, and see its test turn red
	@$(PY) -m tests.mutants

screenshots: $(STAMP) ## take a picture of every page, light, dark and narrow, into screenshots/
	@mkdir -p screenshots
	@PATCHBAY_SHOTS=screenshots $(PY) -m pytest -s tests/browser/test_every_page.py

bench: $(STAMP) ## print speed as ratios against yardsticks
	@$(PY) -m tests.bench

seed-large: $(STAMP) ## fill the data of make run with a large deployment (LARGE_SCALE=0.1: a tenth)
	@$(PY) -m tests.large

check: $(STAMP) ## lint, types, import contracts, templates, security, house tests
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) -m djlint templates --lint --quiet
	@$(PY) -m bandit -q -c pyproject.toml -x connectors/sandbox/vendor -r app connectors jobs
	@$(PY) -m pytest -q tests/house

fix: $(STAMP) ## format and repair what can be repaired by a program
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

lock: $(STAMP) ## renew requirements.lock from pyproject.toml
	@$(VENV)/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --group dev pyproject.toml -o requirements.lock --no-emit-index-url

clean: ## remove the virtual environment and the local data
	@rm -rf $(VENV) .data

$(STAMP): requirements.lock
	@test -n "$(PYTHON)" || { echo "Patchbay needs Python 3.11 or newer, and none was found: install it, or name it with make PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python has no working venv module: on Debian and Ubuntu, install the package python3-venv."; exit 1; }
	@$(PY) -m pip install -q --disable-pip-version-check uv==0.13.9
	@# uv is fast; pip knows certificates and mirrors that only its own settings name.
	@$(VENV)/bin/uv pip install -q --system-certs --compile-bytecode --python $(PY) --require-hashes -r requirements.lock 2>/dev/null \
		|| $(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@rm -f $(VENV)/.stamp-* && touch $@

.PHONY: help run test soak mutants screenshots bench seed-large check fix lock clean
