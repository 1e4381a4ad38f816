# Every target works as the first command in a fresh clone: the environment is made when it is missing or outdated.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
WORKERS ?= 3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST = $(BIN)/python -m pytest -n $(WORKERS)
CLIENTS := iot_platform_tests/clients
CLIENTS_READY := $(VENV)/.clients-ready

.PHONY: demo test test-all test-slow check format docs bench clients conformance soak stateful screenshots env clean
.DEFAULT_GOAL := test

env: $(READY)

# uv installs in seconds; where it cannot be installed, pip does the same. Both compile to bytecode at once: with
# PYTHONDONTWRITEBYTECODE set, as in many containers, each process would compile pandas and Dagster anew.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11 to 3.13 is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv 2>$(VENV)/uv.log; then \
	  $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	@touch $@

# Installs other clients of the embedded server, for iot_platform_tests/clients: those for Python into the environment, dbt
# into one of its own, and the one for Node if there is npm.
clients: $(CLIENTS_READY)

$(CLIENTS_READY): $(READY) $(CLIENTS)/dbt-requirements.txt $(CLIENTS)/node/package-lock.json
	@echo "Installing the clients into $(VENV) ..."
	@test -x $(VENV)/dbt/bin/python || $(BIN)/python -m venv $(VENV)/dbt
	@if test -x $(BIN)/uv; then \
	  $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev,clients]' && \
	  $(BIN)/uv pip install --quiet --compile-bytecode --python $(VENV)/dbt/bin/python -r $(CLIENTS)/dbt-requirements.txt; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,clients]' && \
	  $(VENV)/dbt/bin/python -m pip install --quiet --disable-pip-version-check -r $(CLIENTS)/dbt-requirements.txt; \
	fi
	@if command -v npm >/dev/null; then npm ci --prefix $(CLIENTS)/node --no-audit --no-fund --silent; fi
	@touch $@

# clickhouse-connect's own integration suite against the embedded server; ARGS="--suite CHECKOUT", a checkout of its repository.
conformance: clients
	$(BIN)/python -m iot_platform_tests.conformance $(ARGS)

demo: $(READY)
	@$(BIN)/iot-platform demo $(ARGS)

# Run this before a commit: lint, types, the fast tests, and one demo with its dashboard in a browser.
test: check
	TZ=UTC $(PYTEST) --dist worksteal -m "not slow" $(ARGS)

# All tests. Those that need something that is not installed (a browser, `make clients`) are skipped and listed; with
# CI=true they fail.
test-all: test test-slow

# The tests that `make test` leaves out: they wait for processes, and the tests of a file share a platform. Then those
# that use no server, in another time zone.
test-slow: $(READY)
	TZ=UTC $(PYTEST) --dist loadfile --no-loadscope-reorder -m slow $(ARGS)
	TZ=Asia/Kolkata $(PYTEST) --dist worksteal -m "not slow and not engine and not smoke" $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Writes the generated pages (docs/settings.md, cli.md, field-dictionary.md), and builds the site in build/docs; warnings are errors.
docs: $(READY)
	$(BIN)/python -m iot_platform_tests.docs

bench: $(READY)
	$(BIN)/python -m iot_platform_tests.bench $(ARGS)

# Takes the pictures of docs/ by the tests of the UI.
screenshots: $(READY)
	IOT_SCREENSHOTS=docs/images $(BIN)/python -m pytest iot_platform_tests/ui

# Ten thousand random actions; each day is compared with a model of the expected data. ARGS="--actions 1000 --seed 7" repeats a run.
stateful: $(READY)
	$(BIN)/python -m iot_platform_tests.stateful $(or $(ARGS),--actions 10000 --platforms 2)

# Kills processes with kill -9 for half an hour, then compares the data with a model. ARGS="--kills 20 --seed 7" is
# shorter and repeats a run.
soak: $(READY)
	$(BIN)/python -m iot_platform_tests.soak $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
