# make test     everything that must pass, in a virtual environment of its own (.test-venv)
# make check    the static gates alone: format, lint, types, layers
# make unit     the gates' fast companion: unit tests and the architecture test
# make demo     carries an image from one registry to another, and prints how
# make soak     interrupts transfers at every point there is, kills a registry hundreds of times and
#               pulls media again and again, where the tests take a sample
# make fmt      formats the code and applies the linter's safe fixes
# make docs     regenerates the generated documents
# make bench    the benchmarks (benchmarks/run.py)
# make clean    removes the virtual environment and caches
#
# PYTHON chooses the interpreter (3.11 or newer), ARGS goes to pytest.

PYTHON ?= python3
ARGS ?=
VENV := .test-venv
BIN := $(VENV)/bin
CODE := airgap tests tools benchmarks
# Every module that takes more than a sample when asked to; one more is taken up by itself.
SOAKED = $(shell grep -rlE --include='test_*.py' 'AIRGAP_(SOAK|KILLS)' tests/integration)

.DEFAULT_GOAL := help
.PHONY: help test check unit demo soak fmt docs bench clean

help:
	@sed -n 's/^# \{0,1\}//;1,/^$$/p' $(firstword $(MAKEFILE_LIST))

# The environment is made anew whenever the declared dependencies change.
$(VENV)/installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
		echo "there is no $(PYTHON); airgap needs Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "airgap needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Choose another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { \
		echo "$(PYTHON) cannot make a virtual environment;" \
			"on Debian the package python3-venv has what it lacks" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

check: $(VENV)/installed
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin
	$(BIN)/mypy --python-version 3.14
	$(BIN)/lint-imports

unit: $(VENV)/installed
	$(BIN)/python -m pytest tests/test_architecture.py tests/unit $(ARGS)

# One run of pytest, so that its last line speaks for all tests; tests/conftest.py puts the fast
# ones first.
test: check
	$(BIN)/python -m pytest tests $(ARGS)

demo: $(VENV)/installed
	@$(BIN)/python -m tools.demo

soak: $(VENV)/installed
	AIRGAP_SOAK=1 AIRGAP_KILLS=100 $(BIN)/python -m pytest tests/media $(SOAKED) \
		--timeout 7200 $(ARGS)

fmt: $(VENV)/installed
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

docs: $(VENV)/installed
	$(BIN)/python -m tools.exit_codes

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.run $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
