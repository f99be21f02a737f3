# The chores of this project; `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help demo test up lint bench docs lock install
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Python comes from the machine and packages from its package index; nothing else is downloaded.
export UV_PYTHON_DOWNLOADS := never
export VIRTUAL_ENV :=
UV := $(if $(wildcard $(BIN)/uv),$(BIN)/uv,$(or $(shell command -v uv 2>/dev/null),$(BIN)/uv))

help: ## list the chores
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: $(READY) ## import sample files into a demo store, and show what changed
	$(BIN)/engage-etl demo

test: $(READY) ## run all tests
	@$(BIN)/pytest -n auto --dist worksteal

up: $(READY) ## web page and daemon on the data folder
	$(BIN)/engage-etl up

lint: $(READY) ## style, format, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

SIZES := 10000 100000
ARGS :=
bench: $(READY) ## measure imports beside other programs, see benchmarks/README.md
	$(BIN)/python -m benchmarks --rows $(SIZES) $(ARGS)

docs: $(READY) ## write the pages of docs/ that are made from the code, and the site in artefacts/site
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lock: $(READY) ## pin all versions anew in requirements.lock, from the ranges in pyproject.toml
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --group dev --group bench pyproject.toml --output-file requirements.lock

install: $(READY) ## set up .venv from requirements.lock

# Runs again only if the pinned versions or the project file change.
$(READY): requirements.lock pyproject.toml
	@python=$$(sh -c 'for name in python3.13 python3.12 python3.11 python3; do \
		$$name -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" 2>/dev/null \
			&& { command -v $$name; exit; }; done; exit 1') \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed and none was found on the path." >&2; exit 1; }; \
	if ! test -x $(BIN)/python; then \
		if command -v uv >/dev/null; then uv venv --quiet --python "$$python" $(VENV); \
		else "$$python" -m venv $(VENV); fi; \
	fi
	@command -v uv >/dev/null || test -x $(BIN)/uv || { $(BIN)/python -m ensurepip >/dev/null \
		&& $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	@echo "Installing the packages of requirements.lock into $(VENV)"
	@$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
