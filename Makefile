# Each target makes the environment it needs: all it takes is Python 3.11 or later, or uv.

PYTHON ?= python3
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
OLD := Python 3.11 or later is needed: make PYTHON=/path/to/python3.11 ...

.PHONY: demo test test-slow lint format bench docs master-class clean
.DELETE_ON_ERROR:

demo: $(VENV)/.has-demo
	$(BIN)/numpyro-bayeslayers demo

# What is compiled here runs once or for seconds: less time is spent on making it fast.
# An XLA that does not know a flag refuses to start; then the flags are left out.
QUICK := --xla_cpu_use_fusion_emitters=false
QUICKEST := $(QUICK) --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true
known = $(shell XLA_FLAGS="$(1)" JAX_PLATFORMS=cpu \
	$(BIN)/python -c "import jax; jax.devices()" 2> /dev/null && echo "$(1)")

test: $(VENV)/.has-test
	XLA_FLAGS="$(call known,$(QUICKEST))" \
		$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -p no:benchmark

test-slow: $(VENV)/.has-test
	XLA_FLAGS="$(call known,$(QUICK))" \
		$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -p no:benchmark -m slow

lint: $(VENV)/.has-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/ty check

format: $(VENV)/.has-lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Neither the run-time checks of shapes nor other processes may disturb the clock.
bench: $(VENV)/.has-bench
	$(BIN)/python -m pytest benchmarks -o addopts="--import-mode=importlib"
	$(BIN)/python benchmarks/report.py

# The table of docs/master_class.md, its picture, and whether the scores are as expected.
master-class: $(VENV)/.has-docs
	$(BIN)/python -W ignore benchmarks/studies/master_class.py

docs: $(VENV)/.has-docs
	XLA_FLAGS="$(call known,$(QUICK))" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) .cache site dist build .pytest_cache .ruff_cache .import_linter_cache

# The package and the extra named in the stamp, again whenever pyproject.toml changes.
$(VENV)/.has-%: pyproject.toml | $(BIN)/python
ifdef UV
	$(UV) pip install --quiet --python $(BIN)/python --editable '.[$*]'
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
endif
	@touch $@

$(BIN)/python:
ifdef UV
	$(UV) venv --quiet --allow-existing --python '>=3.11' $(VENV)
else
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo '$(OLD)'; exit 1; }
	$(PYTHON) -m venv $(VENV)
endif
