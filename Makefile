# make demo: a small world rendered, ranked with the shipped weights, two methods trained from them, and a report; make test: lint, types and tests.
# Both make their own virtual environment from a bare clone; Python 3.11 or later and a package index are all they need.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed

.PHONY: help demo test lint format types unit slow docs clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "occlureid needs Python 3.11 or later; try: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## render a world, rank it with the shipped weights, train PGFA and the baseline from them, report (two to three minutes on two AVX2 cores)
	$(BIN)/occlureid demo --out runs/demo

test: lint types unit  ## lint, types and tests

lint: $(READY)  ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)  ## mypy, strict on src and benchmarks
	$(BIN)/mypy

unit: $(READY)  ## the tests, without those marked slow or gpu
	$(BIN)/python -m pytest -m "not slow and not gpu"

slow: $(READY)  ## the tests marked slow
	$(BIN)/python -m pytest -m slow

docs: $(READY)  ## the generated parts of README.md: the table of methods, the table of data sets
	$(BIN)/python docs/generate.py

clean:  ## remove what the other targets made
	rm -rf $(VENV) runs build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
