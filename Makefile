# Two commands: `make demo` and `make test`. Both make the environment they need in .venv.
PYTHON ?= python3
BIN := .venv/bin
# Files of tests over the processors, and over four at most: each process loads torch.
SPREAD := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: demo test check lint types constraints clean

demo: .venv/.installed
	$(BIN)/heretic-tui demo

test: .venv/.installed
	$(BIN)/python -m pytest $(SPREAD)

# What CI runs.
check: lint types test

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo

types: .venv/.installed
	$(BIN)/mypy

# torch first and by its pinned version: a bare `torch` would pull gigabytes of CUDA libraries.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[benchmarks,cluster,dev,research,review]"
	touch $@

# Writes the versions that are installed now; run the tests before committing the result.
constraints: .venv/.installed
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu//' > constraints.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
