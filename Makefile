# Each target makes the environment it needs: all it takes is Python 3.11 or later, or uv.
#
# That is .venv. An interpreter that is named has an environment of its own, and so have the
# oldest packages that pyproject.toml allows:
#   make test PYTHON=python3.13
#   make test PYTHON=python3.11 RESOLUTION=lowest-direct

JOBS ?= 2
UV := $(shell command -v uv 2> /dev/null)
OLD := Python 3.11 or later is needed: make PYTHON=/path/to/python3.11 ...

VENV := .venv
ifeq ($(origin PYTHON),undefined)
PYTHON := python3
else
# Where a shim of pyenv refuses to run, what it stands for may be there.
version = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null)
override PYTHON := $(or $(if $(call version,$(PYTHON)),$(PYTHON)),$(shell \
	.ci/pythons $(patsubst python%,%,$(notdir $(PYTHON)))),$(PYTHON))
VENV := .venv-$(call version,$(PYTHON))
endif
ifdef RESOLUTION
UV := $(or $(UV),.venv-tools/bin/uv)
VENV := $(VENV)-$(RESOLUTION)
LOWER := --upgrade --resolution $(RESOLUTION)
endif
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-stack lint format bench bench-quick peers docs screenshots master-class clean
.DELETE_ON_ERROR:

demo: $(VENV)/.has-demo
	$(BIN)/numpyro-bayeslayers demo

# What is compiled here runs once or for seconds: less time is spent on making it fast.
# An XLA that does not know a flag refuses to start: such a flag is left out.
QUICK := --xla_cpu_use_fusion_emitters=false
QUICKEST := $(QUICK) --xla_backend_optimization_level=0 \
	--xla_llvm_disable_expensive_passes=true --xla_cpu_parallel_codegen_split_count=1
accepted = $(shell XLA_FLAGS="$(1)" JAX_PLATFORMS=cpu \
	$(BIN)/python -c "import jax; jax.devices()" 2> /dev/null && echo "$(1)")
known = $(or $(call accepted,$(1)),$(foreach flag,$(1),$(call accepted,$(flag))))

test: $(VENV)/.has-test
	XLA_FLAGS="$(call known,$(QUICKEST))" \
		$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -p no:benchmark

test-slow: $(VENV)/.has-test
	XLA_FLAGS="$(call known,$(QUICK))" \
		$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -p no:benchmark -m slow

# The newest packages on every interpreter that is here, and the oldest on the oldest: all are
# tried, and those that fail are named.
OLDEST := 3.11
test-stack: $(or $(UV),.venv-tools/bin/uv)
	@rm -rf .venv-3.*; failed=; \
	for python in $$(.ci/pythons); do \
		$(MAKE) test PYTHON=$$python || failed="$$failed $$python"; \
	done; \
	for python in $$(.ci/pythons $(OLDEST)); do \
		$(MAKE) test PYTHON=$$python RESOLUTION=lowest-direct || failed="$$failed lowest-direct"; \
	done; \
	test -z "$$failed" || { echo "These failed:$$failed"; exit 1; }

lint: $(VENV)/.has-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/ty check --python $(VENV)

format: $(VENV)/.has-lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Neither the run-time checks of shapes nor other processes may disturb the clock. Results are
# written as they come: after MINUTES no case begins, and the page has what there is by then.
MINUTES := 18
bench: $(VENV)/.has-bench peers
	status=0; $(BIN)/python -m pytest benchmarks -o addopts="--import-mode=importlib" -q -rs \
		--minutes $(MINUTES) || status=$$?; $(BIN)/python -m benchmarks.report && exit $$status

# The five questions of docs/benchmarks.md in few rounds; the goals are printed, the page stays.
bench-quick: $(VENV)/.has-bench
	status=0; $(BIN)/python -m pytest benchmarks -o addopts="--import-mode=importlib" -q -rs \
		--quick --minutes 2.5 || status=$$?; \
	$(BIN)/python -m benchmarks.report --no-page benchmarks/results/quick.json && exit $$status

# Environments of the packages that are compared with; one that cannot be made is left out.
peers: $(VENV)/.has-bench
	$(BIN)/python benchmarks/studies/peers.py

# The rows of docs/trust.md: long runs, many shapes, wrong arguments; each part in its own process.
STRESS := steps predictions shapes_of_predictions shapes_of_runs fits mutations values
stress: $(VENV)/.has-test
	@for part in $(STRESS); do $(BIN)/python benchmarks/stress.py $$part || exit 1; done
	$(BIN)/python -m pytest -p no:benchmark -m slow tests/infer/training/test_killed.py

# The table of docs/master_class.md, its picture, and whether the scores are as expected.
master-class: $(VENV)/.has-docs
	$(BIN)/python -W ignore benchmarks/studies/master_class.py

docs: $(VENV)/.has-docs
	XLA_FLAGS="$(call known,$(QUICK))" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# All pages as pictures at two widths, in .cache/screenshots, from the site that `make docs` left.
screenshots:
	$(BIN)/python docs/_screenshots.py

clean:
	rm -rf .venv .venv-* .cache site dist build .pytest_cache .ruff_cache .import_linter_cache

# The package and the extra named in the stamp, again whenever pyproject.toml changes.
$(VENV)/.has-%: pyproject.toml | $(UV) $(BIN)/python
ifdef UV
	$(UV) pip install --quiet --python $(BIN)/python $(LOWER) --editable '.[$*]'
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
endif
	@touch $@

$(BIN)/python: | $(UV)
ifdef UV
	$(UV) venv --quiet --allow-existing --python '$(if $(filter .venv,$(VENV)),>=3.11,$(PYTHON))' $(VENV)
else
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo '$(OLD)'; exit 1; }
	$(PYTHON) -m venv $(VENV)
endif

.venv-tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo '$(OLD)'; exit 1; }
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check uv
