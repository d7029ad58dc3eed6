# What one can do here. Each target does all its own set-up, in a virtual environment of its own.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test lint format clean

help:
	@echo "make demo    an avatar speaks: starts the simulator, prints each event, leaves demo.mp4 (no account, no network)"
	@echo "make test    the whole test suite, over real WebRTC against the simulator"
	@echo "make lint    ruff and mypy --strict"
	@echo "make format  ruff format"

$(STAMP): setup.cfg setup.py
	@echo "Setting up $(VENV) (about a minute, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel
	@# setuptools warns of every editable install; a failed one is run again to be seen
	@$(BIN)/python -m pip install -qqq --editable '.[dev]' || $(BIN)/python -m pip install --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	@echo "Starting the simulator and the avatar ..."
	@$(BIN)/heygen-avatar simulator -- $(BIN)/python examples/demo.py

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
