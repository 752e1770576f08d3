# Needs Python 3.11 to 3.14, git and make; `make setup` puts everything else in .venv.

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs fix bench bench-ingest bench-reactions bench-replay soak guarantees lock clean bench-queries

READY := .venv/.ready

# Where it is set (images of Python set it), each start of a process would compile every module anew: 5 s a server and not 1.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  ARGS='…' is passed on: make test ARGS='-k replay'"

setup: $(READY) ## make .venv with headrace and what its tests need

demo: $(READY) ## send the four APIs' own examples to a fresh server (ARGS=--exit: end after that)
	@.venv/bin/python demo/demo.py $(ARGS)

test: $(READY) ## run the tests, on up to four cores (ARGS=-n0: one after the other)
	.venv/bin/pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY) ## check style, spelling, types, the direction of imports and the docs site
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/basedpyright
	.venv/bin/lint-imports --no-logo
	.venv/bin/codespell
	.venv/bin/zensical build --strict --clean >/dev/null

docs: $(READY) ## build the docs site from docs/ into site/
	.venv/bin/zensical build --strict --clean

fix: $(READY) ## mend what ruff can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

bench: bench-ingest ## measure speed

bench-ingest: $(READY) ## events a second, beside what else could take them (needs wrk; ARGS="--seconds 20")
	.venv/bin/pip install --quiet --require-hashes -r requirements/bench.txt
	.venv/bin/python -m bench.ingest $(ARGS)

bench-replay: $(READY) ## what a replay job costs live traffic (ARGS=--record: into RESULTS.md)
	.venv/bin/python -m bench.replay $(ARGS)

bench-reactions: $(READY) ## events a second with 0, 10 and 100 rules (ARGS=--record)
	.venv/bin/python -m bench.reactions $(ARGS)

bench-queries: $(READY) ## how fast questions are answered (EVENTS=1M, 10M, 100M)
	.venv/bin/pip install --quiet --require-hashes -r requirements/bench.txt
	.venv/bin/python -m bench.queries all $(ARGS)

soak: $(READY) ## run for a long time under load and kills
	.venv/bin/python -m tests.soak.soak $(ARGS)

guarantees: $(READY) ## take each guarantee's mechanism out, and see its test fail
	.venv/bin/python -m tests.guarantees.removals

lock: $(READY) ## pin again, after a change of dependencies (ARGS=--upgrade: the newest of all)
	$(PIN) pyproject.toml -o requirements/runtime.txt
	$(PIN) -c requirements/runtime.txt requirements/dev.in -o requirements/dev.txt
	$(PIN) -c requirements/runtime.txt -c requirements/dev.txt requirements/bench.in -o requirements/bench.txt
	$(PIN) requirements/sdks.in -o requirements/sdks.txt

PIN = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header $(ARGS)

clean: ## remove .venv and what tools left behind
	rm -rf tests/sdks/node/node_modules .venv .cache site .hypothesis .pytest_cache .ruff_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements/runtime.txt requirements/dev.txt requirements/sdks.txt
	@set -e; for python in $(PYTHON) python3.13 python3.14 python3.12 python3.11 python3; do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then \
	        echo "Setting up .venv with $$($$python --version); the first time takes a minute or two."; \
	        $$python -m venv .venv; \
	        exit 0; \
	    fi; \
	done; \
	echo "Needs Python 3.11 to 3.14 with its venv module (on Debian: apt install python3-venv)." >&2; \
	echo "None is on the PATH; name one with: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	exit 1
	@$(PIP) --require-hashes -r requirements/runtime.txt -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@.venv/bin/python -m venv .venv/sdks
	@$(PIP:.venv/%=.venv/sdks/%) --require-hashes -r requirements/sdks.txt
	@touch $@

PIP = .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input --no-compile
