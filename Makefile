# The chores of this project; `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help demo test again up lint bench docs manifest screenshots lock install wheel sbom audit soak
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

# One more than there are cores, since many tests wait for a process, a server or a moment.
WORKERS = $$($(BIN)/python -c 'import os; print(1 + (os.cpu_count() or 1))')
test: $(READY) ## run all tests
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal

again: $(READY) ## run the tests that failed once more, one after the other
	@$(BIN)/pytest --last-failed --last-failed-no-failures none

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

SOAK_SECONDS := 600
soak: $(READY) ## drop a thousand rows a second for ten minutes, with faults; figures in artefacts/soak.json
	mkdir -p artefacts
	SOAK_SECONDS=$(SOAK_SECONDS) SOAK_RESULTS=artefacts/soak.json $(BIN)/pytest engage_etl_tests/scenarios/test_soak.py
	@cat artefacts/soak.json

docs: $(READY) ## write the pages of docs/ that are made from the code, and the site in artefacts/site
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

manifest: $(READY) ## parse the dbt project, which changed, so that no installation has to
	$(BIN)/python -m engage_etl.marts.ship_manifest

screenshots: $(READY) ## take the pictures of docs/images anew; needs Chromium
	rm -rf artefacts/screenshots
	$(BIN)/pytest -q engage_etl_tests/web
	$(BIN)/python docs/screenshots.py

lock: $(READY) ## pin all versions anew in requirements.lock, from the ranges in pyproject.toml
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --group dev --group bench pyproject.toml --output-file requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --all-extras --constraint requirements.lock pyproject.toml \
		--output-file requirements.runtime.lock

wheel: $(READY) ## build the package, in dist
	rm -rf dist
	$(BIN)/hatchling build -t wheel

# What ships, in an environment of its own: pip installs the wheel there, and its demo has to run outside of the project.
SHIPPED := artefacts/shipped
sbom: wheel ## install what ships, try it, and list it in artefacts/sbom.json (CycloneDX)
	$(UV) venv --quiet --clear --python $(BIN)/python $(SHIPPED)
	$(UV) pip install --quiet --python $(SHIPPED)/bin/python --require-hashes -r requirements.runtime.lock
	$(BIN)/python -m pip --python $(SHIPPED)/bin/python install --quiet --no-deps --no-index dist/*.whl
	cd artefacts && shipped/bin/engage-etl demo >shipped/demo.log && ENGAGE_DATA_DIR=.demo shipped/bin/engage-etl db stop && rm -r .demo
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file artefacts/sbom.json \
		$(SHIPPED)/bin/python

audit: $(READY) ## ask the Python Packaging Advisory Database about all pinned versions (needs internet)
	$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements.lock

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
