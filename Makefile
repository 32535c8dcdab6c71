# Every target sets up what it needs: a virtual environment in .venv, made once.
# `make UV=1 ...` lets uv make it; `make PYTHON=python3.12 ...` chooses the interpreter.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   ?= .venv
UV     ?=
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile

DEMO_PICTURE ?= $(firstword $(wildcard examples/*_spliced.jpg))
DEMO_OUTPUT  ?= demo-output

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint format bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## Make .venv and install tamperscope into it (the others do this too)

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "tamperscope needs Python 3.11 or newer: install it, or pass PYTHON=/path/to/python"; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON) (once; PyTorch is a large download, all of it takes about 8 GB on disk)"
ifeq ($(UV),)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
else
	@test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV)
	@uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
endif
	@touch $@

demo: $(READY) ## Find the pasted part of an example picture
	@$(BIN)/tamperscope localize "$(DEMO_PICTURE)" --output "$(DEMO_OUTPUT)" --report
	@echo
	@echo "Picture examined: $(DEMO_PICTURE)"
	@echo "Open in a browser: $(abspath $(DEMO_OUTPUT))/index.html"
	@ls -1 "$(DEMO_OUTPUT)" | sed 's|^|  $(DEMO_OUTPUT)/|'

test: $(READY) ## Run the tests (minutes)
	@$(PYTEST) -m "not slow"

test-all: $(READY) ## Run all tests, the slow ones too
	@$(PYTEST)

lint: $(READY) ## Check style, types and who imports whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY) ## Put the code into standard form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## Time the method on this machine (records go to results/)
	@$(BIN)/python benchmarks/localize_speed.py

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(DEMO_OUTPUT) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
