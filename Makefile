# What one can do here. Each target does all its own set-up, in a virtual environment of its own.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
, := ,
DEMO_STAMP := $(VENV)/.installed-demo
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs

.PHONY: help demo test lint format bench docs clean

help:
	@echo "make demo    an avatar speaks: starts the simulator, prints each event, leaves demo.mp4 (no account, no network)"
	@echo "make test    the whole test suite, over real WebRTC against the simulator"
	@echo "make lint    ruff and mypy --strict"
	@echo "make format  ruff format"
	@echo "make bench   how fast it is, against plain asyncio code: half an hour, or a few minutes with ARGS=--quick"
	@echo "make docs    the pages in docs/_build/html, tutorials executed against the simulator"

# setuptools warns of every editable install; a failed one is run again to be seen
install = $(BIN)/python -m pip install -qqq --editable '.[$(1)]' || $(BIN)/python -m pip install --editable '.[$(1)]'

$(DEMO_STAMP): setup.cfg setup.py
	@echo "Setting up $(VENV) for the demo (half a minute, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel
	@$(call install,simulator$(,)voice$(,)record)
	@touch $@

$(STAMP): $(DEMO_STAMP)
	@echo "Adding what tests and development need (a few minutes, once) ..."
	@$(call install,dev)
	@touch $@

$(DOCS_STAMP): $(STAMP)
	@echo "Adding what the documentation needs ..."
	@$(call install,docs)
	@touch $@

demo: $(DEMO_STAMP)
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

bench: $(STAMP)
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(DOCS_STAMP)
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
