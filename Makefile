# make demo: the comparison report, from nothing.  make test: the quick tests; make test-slow: the others.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := --machines xeon-8380,h200,tpu-v1 --algorithms direct,im2col,winograd-f2,winograd-f4

.PHONY: demo test test-quick test-slow test-python caches arrays lint bench bench-caches bench-scalesim bench-sweeps digits oracle fuzz sample examples lessons docs clean

demo: $(VENV)/.demo
	$(BIN)/hwsim compare vgg16 $(DEMO) --out reports/vgg16 --force

test: $(VENV)/.dev
	$(MAKE) -j2 caches arrays lint
	$(MAKE) test-quick

test-quick: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

# the quick tests on another Python: make test-python PYTHON=python3.13
test-python:
	$(MAKE) VENV=.venv-$(notdir $(PYTHON)) test-quick

# kernels that most tests need: each of their workers would compile them for itself
caches arrays: $(VENV)/.dev
	$(BIN)/python -m tests.kernels $@

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.demo
	$(BIN)/python benchmarks/run.py

bench-caches: $(VENV)/.demo
	$(BIN)/python benchmarks/caches.py

bench-scalesim: $(VENV)/.demo
	$(BIN)/python benchmarks/scalesim.py

bench-sweeps: $(VENV)/.demo
	$(BIN)/python benchmarks/sweeps.py

digits: $(VENV)/.dev
	$(BIN)/python demos/digits.py

oracle: $(VENV)/.dev
	$(BIN)/python -m tests.oracle 10000

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz 10000

sample: $(VENV)/.demo
	$(BIN)/hwsim compare vgg16 $(DEMO) --out reports/sample --force
	rm -f reports/sample/*.png reports/sample/*.csv reports/sample/*.json

examples: $(VENV)/.dev
	$(BIN)/python examples/rerun.py

lessons: $(VENV)/.demo
	$(BIN)/hwsim teach --site reports/lessons --force

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
