# Two commands do everything on a machine with Python 3.11, make and pip: `make book` and `make test`.
# The others are listed by `make help`.

PYTHON ?= python3.11
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
PROFILE ?= teach

export HF_HUB_OFFLINE ?= 1
export WANDB_MODE ?= disabled
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help setup book epub test check chapter full full-status prepare lab bench clean

help: ## what each command does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## create .venv and install what the lock names

$(READY): requirements.txt requirements-data.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
		{ echo "error: $(PYTHON) is not Python 3.11; install it, or name it: make PYTHON=/path/to/python3.11 book" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint requirements.txt torch==2.13.0
	$(PY) -m pip install --quiet --no-deps -r requirements.txt
	$(PY) -m pip install --quiet --no-deps -r requirements-data.txt
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)

book: $(READY) ## bring stale chapters up to date, build the site, print the file to open
	@$(PY) -m lib.press build
	@$(PY) -m lib.press site

epub: $(READY) ## the book as one EPUB file
	@$(PY) -m lib.press build
	@$(PY) -m lib.press site --epub

test: $(READY) ## all tests: library, book guards, every chapter at smoke and teach, the site in a browser
	$(PY) -m pytest

check: $(READY) ## the two-minute subset: no chapter is executed, no site is built
	@$(PY) -m ruff check --quiet
	@$(PY) -m lib.press check
	$(PY) -m pytest -m "not chapter and not site and not slow"

chapter: $(READY) ## run one chapter: make chapter N=04 [PROFILE=smoke|teach|full]
	@test -n "$(N)" || { echo "error: which chapter? make chapter N=04" >&2; exit 2; }
	@$(PY) -m lib.press run "$(N)" --profile "$(PROFILE)"

full: $(READY) ## run one chapter at full size and put it on record: make full N=04
	@test -n "$(N)" || { echo "error: which chapter? make full N=04" >&2; exit 2; }
	@$(PY) -m lib.press run "$(N)" --profile full --script

full-status: $(READY) ## which full runs are on record, changed since, or waiting
	@$(PY) -m lib.press full-status

prepare: $(READY) ## remake a chapter's prepared files from what ships: make prepare N=05
	@test -n "$(N)" || { echo "error: which chapter? make prepare N=05" >&2; exit 2; }
	@$(PY) -m lib.press prepare "$(N)"

lab: $(READY) ## JupyterLab on the chapters
	@$(VENV)/bin/jupyter lab --notebook-dir=.

bench: $(READY) ## measured ratios against the bars, the machine's limits first
	@$(PY) -m tests.bench

clean: ## remove what is built (not .venv, not results)
	rm -rf _build book/_generated runs .pytest_cache .ruff_cache .hypothesis
