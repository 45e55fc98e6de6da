# One word per task. `make demo` and `make test` need nothing but Python 3.11+ and make; the rest follows from them.
.PHONY: help demo test check format setup console servers lock wheel bench powercut bitflips killtest syscalltest simulate losstest fuzz clean

VENV ?= .venv
PY := $(VENV)/bin/python
BIN := $(VENV)/bin

help:
	@echo "make demo     set everything up, then run a small city on this machine until Ctrl-C"
	@echo "make test     set everything up, then pass the checks and the tests (J=2 at once)"
	@echo "make check    format, lint, types, imports, spelling, profiles"
	@echo "make format   let ruff write the code's form"
	@echo "make console  build the console's bundle"
	@echo "make wheel    build the wheel, console included, into dist/"
	@echo "make bench    measure ingest on both stores beside the bare stores"
	@echo "make powercut N=100000   cut the power of the outbox's disk N times, anywhere"
	@echo "make bitflips            flip each byte of a small outbox, one after the other"
	@echo "make killtest N=1000     kill -9 agents, broker and cloud N times under load"
	@echo "make syscalltest         kill the outbox at every system call that writes (needs strace)"
	@echo "make simulate N=1000     N seeds of the whole road in simulated time, network and disk"
	@echo "make losstest            the same faults for this agent and for the ThingsBoard gateway, side by side"
	@echo "make fuzz L=all S=600    fuzz the languages of the street for so many seconds (needs atheris)"
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
	$(BIN)/citynerve profile matters

# Half of the time of the tests is waiting, so two files run at once; a file's tests stay together, for many share a server.
# A browser that draws by software and a city that breaks down want the machine for themselves.
J ?= 2
ALONE := tests/console tests/faults
test: setup console servers check
	$(BIN)/pytest -n $(J) --dist loadfile $(ALONE:%=--ignore=%)
	$(BIN)/pytest $(ALONE)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: setup console
	$(PY) -m hatchling build -t wheel

bench: setup
	$(BIN)/citynerve bench ingest --store duckdb
	$(BIN)/citynerve bench ingest --store influx
	$(BIN)/citynerve bench outbox

# What a sceptic runs: each prints its seed and its verdict, and fails where anything is lost. docs/faults.md says more.
powercut: N ?= 100000
powercut: setup
	$(PY) tests/faults/power_cut.py --cuts $(N)

bitflips: setup
	$(PY) tests/faults/damage.py --stride 1

killtest: N ?= 1000
killtest: setup servers
	$(PY) tests/faults/kills.py --kills $(N)

syscalltest: setup servers
	$(PY) -m pytest tests/faults/test_faults_syscalls.py --every-call

simulate: N ?= 1000
simulate: setup
	$(PY) tests/faults/sim_run.py --seeds $(N)

losstest: setup servers
	$(PY) -m benchmarks.peers.losstest

fuzz: L ?= all
fuzz: S ?= 600
fuzz: setup
	$(PY) tests/firmware_bridge/fuzz.py --language $(L) --seconds $(S)

lock: setup
	$(BIN)/pip freeze --exclude-editable > requirements.lock

clean:
	rm -rf $(VENV) console/node_modules cloud/console/dist dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
