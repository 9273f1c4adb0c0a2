# Two commands for a fresh machine with Python 3.11 or newer: make run, make test.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(if $(shell command -v $(name)),$(name))))
BIN := .venv/bin
# A worker more than cores, as some tests wait; long files are started first (tests/conftest.py).
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
# Compiled test modules are kept: to compile them costs each worker as much as all imports together.
PYTEST = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

.PHONY: run test test-full quick tutorials containers clients check install-check docs dist release-check setup bench bench-quick rows verify clean

# The row of a sample goes beside the builds, not among the shipped boards.
run: export MEDBENCH_LEADERBOARDS ?= build/leaderboards
run: setup
	$(BIN)/medbench run --model dssau_net --challenge iugc2024

test: setup
	$(PYTEST) --numprocesses $(WORKERS) --durations 15

# Also what repeats a promise that a cheaper test keeps, and every count whole.
test-full: setup
	$(PYTEST) --numprocesses $(WORKERS) --full --fuzz 1000

# What a developer repeats: no training, no process of its own.
quick: setup
	$(PYTEST) --numprocesses auto --quick -m 'not slow'

# The documentation's tutorials from their own text; make test runs one of them.
tutorials: setup
	$(PYTEST) --numprocesses auto --dist load -m tutorial tests/docs

# Containers of every platform; needs podman or docker. make test holds one image to its limits.
containers: setup
	$(PYTEST) --numprocesses 1 -m 'container or exhaustive' tests/submissions/containers -rs

# The platforms' own programs (mlcube, the BraTS orchestrator) run our images; needs podman or docker.
clients: setup .clients/installed
	OMP_NUM_THREADS=1 MEDBENCH_CLIENTS=.clients $(BIN)/python -m pytest -m container tests/submissions/clients -rs

.clients/installed:
	$(PYTHON) -m venv .clients
	.clients/bin/python -m pip install --quiet mlcube==0.0.9 mlcube-docker==0.0.9 brats==0.1.14
	touch $@

check: setup docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive benchmark/medbench
	$(BIN)/python tests/licences.py > /dev/null
	$(BIN)/python tests/audit.py

# The site, strictly; its reference is written from the program.
docs: setup
	$(BIN)/python docs/write_reference.py
	$(BIN)/mkdocs build --strict

dist: setup
	$(BIN)/python -m pip install --quiet --editable '.[release]'
	$(BIN)/python -m build

# Wheel and sdist in empty environments, away from the checkout: the light core.
install-check: setup
	$(BIN)/python -m pip install --quiet 'build>=1.2'
	$(BIN)/python tests/release_check.py

# Before a release, not at each change: environments are made anew and a database of faults is asked for.
# Every point is tried, whatever those before it gave; a table of all verdicts comes last.
release-check: setup
	$(BIN)/python -m pip install --quiet --editable '.[release]'
	$(BIN)/python tests/release_check.py --python 3.11 3.12 3.13 --lowest --all-extras --this-environment

bench: setup
	for page in $(filter-out speed/gpu.md,$(wildcard speed/*.md)); do $(BIN)/python $${page%.md}.py --write || exit 1; done

# Every goal of speed with what is measured and a verdict, in a few minutes.
bench-quick: setup
	$(BIN)/python speed/quick.py

# The shipped real rows anew; DATA is a folder with one subfolder of real data a challenge.
rows: setup
	$(BIN)/python leaderboards/make_rows.py $(DATA)

verify: setup
	$(BIN)/medbench leaderboard verify

setup: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit('medbench needs Python 3.11 or newer; set PYTHON=…' if sys.version_info < (3, 11) else 0)"
	@echo 'Installing medbench with all extras into .venv, once: 8 GB and some minutes, without a line until it is done.'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	touch $@

clean:
	rm -rf .venv .clients build dist
