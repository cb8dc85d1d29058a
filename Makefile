# Two commands do everything: `make repro` and `make test`. Each makes the environment when it is missing.
# Take another Python with `make PYTHON=python3.12 …` (3.11 is what the pins were measured with).

SHELL := /bin/bash
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' 2>/dev/null
PYTHON ?= $(or $(shell for p in python3.11 python3 python3.12 python3.13; do $$p $(NEW_ENOUGH) && echo $$p && break; done),python3)
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
STAMP := $(VENV)/.installed
# Stages run the environment's programs, whether or not it is activated.
export PATH := $(BIN):$(PATH)
export DO_NOT_TRACK := true

.PHONY: repro test lint types format lab mlflow report site clean without-git after-a-kill

repro: without-git $(STAMP)  ## data, training, evaluation, report of the demo profile
	@echo "The demo: about 30 minutes on 2 cores. Ctrl-C stops, the same command goes on."
	@$(MAKE) --no-print-directory -s after-a-kill
	dvc repro
	@echo "Done: data/runs/demo/report/report.html; 'dvc metrics show', 'dvc plots show' and 'make mlflow' show more."

test: $(STAMP)  ## linter, types, tests
	@echo "Linter, type checker and tests: about 30 minutes on 2 cores."
	ruff check .
	ruff format --check .
	mypy
	pytest

lint: $(STAMP)
	ruff check .

types: $(STAMP)
	mypy

format: $(STAMP)
	ruff format .
	ruff check --fix .

lab: $(STAMP)  ## notebooks in the browser
	jupyter lab notebooks

mlflow: $(STAMP)  ## what every stage logged
	mlflow ui --backend-store-uri sqlite:///mlflow.db

site: $(STAMP)  ## walkthroughs, executed notebooks and report as pages
	@echo "The walkthroughs run first: about 4 minutes on 2 cores."
	stremn site

without-git:  # DVC asks for Git; an unpacked archive has none, and does without
	@test -e .git || grep -qs no_scm .dvc/config.local \
		|| { mkdir -p .dvc && printf '[core]\n    no_scm = true\n' >> .dvc/config.local; }

after-a-kill:  # a DVC that was killed while it wrote leaves half a file that stops every later one; nothing is lost
	@find .dvc/cache/runs -mindepth 1 \( -name '.*.tmp' -o -type d -empty \) -delete 2>/dev/null || true
	@test ! -e dvc.lock || $(BIN)/python -c 'import yaml; assert yaml.safe_load(open("dvc.lock"))' 2>/dev/null \
		|| mv dvc.lock dvc.lock.broken
	@test ! -s .dvc/tmp/rwlock || $(BIN)/python -m json.tool .dvc/tmp/rwlock >/dev/null 2>&1 || rm -f .dvc/tmp/rwlock

clean:  ## generated data and results, not the environment
	rm -rf data/code data/prepared data/runs data/site

$(STAMP): requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) $(NEW_ENOUGH) || { \
		echo "error: expected Python 3.11.4 or newer, found $$($(PYTHON) --version 2>&1): name one, as in" \
			"'make $(or $(MAKECMDGOALS),repro) PYTHON=/path/to/python3.11'" >&2; exit 2; }
	@echo "Making the environment in $(VENV): about 290 packages, 2 GB (more with CUDA), a few minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(shell grep -i '^torch==' requirements.txt)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/stremn data get lpips-alexnet --yes 2>/dev/null \
		|| echo "AlexNet's weights were not fetched: LPIPS stays null until 'stremn data get lpips-alexnet'."
	touch $(STAMP)
