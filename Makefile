# Every target makes of .venv what it needs, when that is missing or older than the project files.
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin

# One thread, one core: what a benchmark compares is the work. (tests/conftest.py sets the same for the tests.)
ONE_THREAD := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
PYTEST := $(BIN)/python -m pytest
# Modules are compiled when they are first imported: compiling all of torch beforehand would double the wait.
INSTALL := $(BIN)/python -m pip install -qq --no-compile --constraint constraints.txt --editable

.NOTPARALLEL:   # two installations must not share one .venv
.PHONY: demo test check proof bench docs notebooks clean

demo: .venv/.demo
	OMP_WAIT_POLICY=passive $(BIN)/hybridlearn demo

test: .venv/.dev
	$(PYTEST) -n $(WORKERS) --dist worksteal -m "not proof"

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -q tests/test_architecture.py

# pytest leaves with 5 where it finds no test: as long as no proof is written, none has failed.
proof: .venv/.dev
	$(PYTEST) -n $(WORKERS) --dist worksteal -m proof || test $$? -eq 5

# benchmarks/nets.py needs tables and peers that are not part of the project, program.py and ensembles.py are told what to
# measure: see there.
bench: .venv/.dev
	for name in trainer regularisation; do $(ONE_THREAD) $(BIN)/python benchmarks/$$name.py || exit; done

docs: .venv/.dev
	$(PYTEST) -q tests/test_docs.py hybridlearn

# Jupyter is installed for this alone.
notebooks: .venv/.dev
	$(INSTALL) '.[docs]'
	$(ONE_THREAD) $(BIN)/python -m nbconvert --to notebook --execute --inplace docs/notebooks/*.ipynb

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/.demo: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing into .venv; this takes a minute or two."
	$(INSTALL) '.[demo]'
	@touch $@

# The developers' tools include all that the demo needs.
.venv/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing into .venv; this takes a minute or two."
	$(INSTALL) '.[dev]'
	@touch $@ .venv/.demo

# pip is the last thing that a new environment gets: with it, the environment is whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hybridlearn needs Python 3.11 or newer; name one: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
