PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test slow faults docs lint types format rooms golden clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## the main job on the sample, with the embedded model
	$(BIN)/python examples/demo.py

test: lint types  ## everything that must hold: lint, types and all tests
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile

slow: $(INSTALLED)  ## the long tests: six million rows are built, trained on and scored; all code of the manual runs
	$(BIN)/python -m pytest -q -m slow

faults: $(INSTALLED)  ## kill commands, flip bits and spoil sources for an hour: 660 kills, 3,000 flips, 20,000 files, see docs/reliability.md
	ENC_FAULTS=550 ENC_FLIPS=3000 ENC_FUZZ=20000 $(BIN)/python -m pytest -q tests/faults

docs: $(INSTALLED)  ## the manual, as a site in docs/_build; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going docs docs/_build

lint: $(INSTALLED)  ## rules and format of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## the type checker
	$(BIN)/basedpyright

format: $(INSTALLED)  ## format the code, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

rooms: $(INSTALLED)  ## draw the picture of the packages in CONTRIBUTING.md anew
	$(BIN)/python tests/rooms.py

golden: $(INSTALLED)  ## write the golden files anew (help texts, SQL, a loss curve); look at the difference
	ENC_GOLDEN=write $(BIN)/python -m pytest -q tests/cli/test_help.py tests/cli/test_doctor.py tests/store tests/engine/train/test_fit.py

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:  ## remove the environment and what the demo wrote
	rm -rf .venv demo-output
