# One word per task. `make demo` and `make test` need nothing but Python 3.11+ and make; the rest follows from them.
.PHONY: help demo test check format setup console servers lock wheel bench clean

VENV ?= .venv
PY := $(VENV)/bin/python
BIN := $(VENV)/bin

help:
	@echo "make demo     set everything up, then run a small city on this machine until Ctrl-C"
	@echo "make test     set everything up, then pass the checks and the tests"
	@echo "make check    format, lint, types, imports, spelling, profiles"
	@echo "make format   let ruff write the code's form"
	@echo "make console  build the console's bundle"
	@echo "make wheel    build the wheel, console included, into dist/"
	@echo "make bench    measure ingest on both stores beside the bare stores"
	@echo "make lock     write requirements.lock anew from what is installed"

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements.lock tools/setup.sh
	@sh tools/setup.sh $(VENV)
	@touch $@

console: setup
	@$(PY) console/build.py

servers:
	@sh tools/servers.sh

demo: setup console
	@$(BIN)/citynerve demo

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/citynerve profile lint

test: setup console servers check
	$(BIN)/pytest

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: setup console
	$(PY) -m hatchling build -t wheel

bench: setup
	$(BIN)/citynerve bench ingest --store duckdb
	$(BIN)/citynerve bench ingest --store influx

lock: setup
	$(BIN)/pip freeze --exclude-editable > requirements.lock

clean:
	rm -rf $(VENV) console/node_modules cloud/console/dist dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
