# Both targets do all their own set-up in .venv; nothing but Python 3.11+, pip and make is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP = $(VENV)/.$(1)-installed

.PHONY: demo test lint types check clean

demo: $(call STAMP,examples)
	$(BIN)/python examples/digits.py

test: $(call STAMP,test)
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(call STAMP,dev)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(call STAMP,dev)
	$(BIN)/pyright

check: test lint types

$(VENV)/.%-installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
