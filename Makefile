# Needs: make, Python 3.11 or later with venv, a package index. No root, no service.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV := .venv
PY := $(VENV)/bin/python
PIP = -m pip -qq --disable-pip-version-check --no-input install
LOCK := uv pip compile --quiet --no-strip-extras --universal --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links
# One more than there are cores: tests wait for disks and processes a fifth of their time.
# Each process brings its own PostgreSQL and its own browser.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$n -gt 4 ] && n=4; echo $$((n + 1)))
DATA ?=
ONCE ?=
ARGS ?=

.PHONY: help
help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-13s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.run-stamp ## Five nodes of a region share data here (DATA=folder, ONCE=1 to end by itself)
	@$(PY) -m compileall -q src
	@$(PY) -m serantau.apps.demo $(if $(DATA),--data "$(DATA)") $(if $(ONCE),--once)

.PHONY: test
test: $(VENV)/.dev-stamp ## Run every test and hold the coverage bars
	@$(PY) -m compileall -q src
	@rm -f .coverage .coverage.*
	$(PY) -m pytest -n $(JOBS) --dist worksteal --cov --cov-report= $(ARGS)
	$(PY) -m coverage report --skip-covered --fail-under=90
	@echo "And every branch of the rules and of the one way out:"
	$(PY) -m coverage report --skip-covered --fail-under=100 \
		--include='src/serantau/rules/*,src/serantau/desk/share.py'

.PHONY: lint
lint: $(VENV)/.dev-stamp ## Check style, types, floors and the size of modules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	@find src tests bench -name '*.py' -exec awk 'END { if (NR > 600) \
		print FILENAME ": " NR " lines, expected at most 600: split it by noun" }' {} \; \
		| { ! grep . ; }

.PHONY: bench
bench: $(VENV)/.dev-stamp ## Measure speed and size, as ratios within one run
	@$(PY) -m compileall -q src bench
	$(PY) -m bench $(ARGS)

.PHONY: scale
scale: $(VENV)/.dev-stamp ## Measure pages at ten million objects against a hundred thousand
	@$(PY) -m compileall -q src bench
	$(PY) -m bench scale $(ARGS)

.PHONY: soak
soak: $(VENV)/.dev-stamp ## Let a region work for hours and watch its memory
	@$(PY) -m compileall -q src bench
	$(PY) -m bench soak $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.dev-stamp ## Feed the parsers made-up hostile input, for long
	$(PY) -m pytest -m fuzz --hypothesis-profile=long $(ARGS)

.PHONY: crash
crash: $(VENV)/.dev-stamp ## Kill load and sync a thousand times: nothing lost, nothing twice
	@$(PY) -m compileall -q src
	SERANTAU_KILLS=500 $(PY) -m pytest -m kill $(ARGS)

.PHONY: docs
docs: $(VENV)/.docs-stamp ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/python -m mkdocs --quiet build --strict

.PHONY: words
words: $(VENV)/.dev-stamp ## Bring the catalogues of the pages' languages up to date
	$(PY) -m serantau.apps.web.pages.catalogue $(ARGS)

.PHONY: journeys
journeys: $(VENV)/.dev-stamp ## Walk every journey of the pages in both languages, on desktop and phone
	SERANTAU_JOURNEYS=all $(PY) -m pytest tests/pages/test_journeys.py $(ARGS)

.PHONY: screens
screens: $(VENV)/.dev-stamp ## Take the pictures of pages that the documentation has
	SERANTAU_SCREENS=docs/screens $(PY) -m pytest tests/pages/test_every_page.py $(ARGS)

.PHONY: requirements
requirements: ## Make the locks in requirements/ again (wants uv)
	$(LOCK) pyproject.toml -o requirements/run.txt
	$(LOCK) --group build -o requirements/build.txt
	$(LOCK) pyproject.toml --group dev -o requirements/dev.txt
	$(LOCK) --group docs -o requirements/docs.txt

.PHONY: clean
clean: ## Remove everything that make has made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf .coverage .coverage.* coverage.xml htmlcov site dist demo-region
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made by whichever Python is new enough, with nothing but its own venv
# and pip. Hashes are required, so what is installed is what was reviewed.
$(PY):
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making $(VENV) with $$($$python --version)"; \
			$$python -m venv $(VENV) && exit 0; \
			rm -rf $(VENV); \
			echo "$$python cannot make an environment. On Debian: apt install python3-venv" >&2; \
			exit 1; \
		fi; \
	done; \
	echo "Python 3.11 or later is needed and none is in PATH. Say where: make PYTHON=..." >&2; \
	exit 1

$(VENV)/.pip-stamp: $(PY)
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip --default-pip >/dev/null
	@touch $@

$(VENV)/.run-stamp: requirements/run.txt requirements/build.txt pyproject.toml | $(VENV)/.pip-stamp
	@echo "Installing what a node needs (about a minute)"
	@$(PY) $(PIP) --require-hashes -r requirements/run.txt -r requirements/build.txt
	@$(PY) $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev-stamp: requirements/dev.txt pyproject.toml | $(VENV)/.pip-stamp
	@echo "Installing what the tests need (about two minutes)"
	@$(PY) $(PIP) --require-hashes -r requirements/dev.txt
	@$(PY) $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.docs-stamp: requirements/docs.txt | $(VENV)/.pip-stamp
	@$(PY) -m venv $(VENV)/docs
	@$(VENV)/docs/bin/python $(PIP) --require-hashes -r requirements/docs.txt
	@touch $@
