# CI calls only these targets. Each makes the virtual environment first; that is quick when it is there.

# The first of these that is Python 3.11 or 3.12; or say which: make setup PYTHON=/path/to/python
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(firstword $(foreach p,python3.12 python3.11 python3,$(shell $(p) -c '$(FITS)' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := headrace contracts streams operators model_runtime index_updater api
NAME ?=

.PHONY: setup demo test faults check bench peers soak fuzz format clean
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(FITS)' || { \
	  echo "setup: no Python 3.11 or 3.12 found; say where: make setup PYTHON=/path/to/python3.12" >&2; exit 1; }
	@command -v g++ >/dev/null || command -v c++ >/dev/null || { \
	  echo "setup: hnswlib is built from source and needs a C++ compiler; install g++ (Debian: apt-get install g++)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: setup
	$(BIN)/headrace demo

test: setup
	$(BIN)/pytest -m 'not slow'

# Every fault that is made for real, the slow ones too; what they measured is printed.
faults: setup
	$(BIN)/pytest -m faults -rA --show-capture=no

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CODE) bench tests
	$(BIN)/lint-imports

# The peers and the charts' packages are not in the way of anybody who measures nothing.
$(VENV)/.bench: $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,bench]'
	@touch $@

# Quix Streams wants older clients than the engine, so it has an environment of its own.
peers: .venv-peers/.installed

.venv-peers/.installed: $(STAMP) pyproject.toml bench/peers/constraints.txt
	test -x .venv-peers/bin/python || $(BIN)/python -m venv --without-pip .venv-peers
	$(BIN)/uv pip install --quiet --python .venv-peers/bin/python -c bench/peers/constraints.txt -e '.[peers]'
	@touch $@

bench: $(VENV)/.bench $(if $(filter-out throughput,$(NAME)),,.venv-peers/.installed)
	$(BIN)/python -m bench $(NAME)

# The status is 1 if something grows or a promise is broken. More options: python -m bench.soak --help
RATE ?= 5000
soak: MINUTES ?= 20
soak: $(VENV)/.bench
	$(BIN)/python -m bench.soak --minutes $(MINUTES) --rate $(RATE)

# The decoders under a coverage-guided fuzzer, each for its share of the minutes; 1 if any finds something.
$(VENV)/.fuzz: $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,fuzz]'
	@touch $@

fuzz: MINUTES ?= 10
fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.hostile $(MINUTES)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .venv-peers tests/kafka/target .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
