# One command does all the set-up: `make demo` shows the product, `make test` proves it.
# Both work in a fresh clone of a bare machine; a second run is quick (stamps in .venv).

SHELL := /bin/bash
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
MAKEFLAGS += --no-print-directory
# Most tests wait for peers and deadlines; those of a file share peers and follow one another.
SIDE_BY_SIDE := -n 3 --dist loadfile --no-loadscope-reorder
ARGS ?=
SOAK_SECONDS ?= 3600
.DEFAULT_GOAL := help
.PHONY: help setup demo check test integration faults fuzz soak bench growth profile crash-long docs peers

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

# The stamps depend on what decides the content of the environment, not on the sources: the
# project is installed in place.
.venv/.installed: pyproject.toml .ci/venv
	@.ci/venv && touch $@

.venv/.installed-test: pyproject.toml .ci/venv
	@.ci/venv test,check && touch $@ .venv/.installed

peers:
	@.ci/peers

setup: .venv/.installed-test peers ## everything a developer needs

demo: .venv/.installed ## the product in a minute; ARGS=--once ends by itself
	@.venv/bin/dicom-router demo $(ARGS)

check: .venv/.installed-test ## format, lint, types, floors, shape, freshness
	@.venv/bin/ruff format --quiet --check .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy --no-error-summary
	@.venv/bin/lint-imports --no-logo
	@$(PYTEST) tests/shape $(ARGS)

# pytest runs the shape tests too, so only the other parts of `check` come before it; its closing
# line is the last line printed.
test: .venv/.installed-test peers ## the default suite: every promise, with real peers
	@.venv/bin/ruff format --quiet --check .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy --no-error-summary
	@.venv/bin/lint-imports --no-logo
	@$(PYTEST) $(SIDE_BY_SIDE) $(ARGS)

integration: .venv/.installed-test peers ## only the tests with real peers
	@$(PYTEST) tests/integration $(ARGS)

faults: .venv/.installed-test peers ## kills, power cuts, full disks, lying peers; long form
	@$(PYTEST) tests/crash tests/integration --long $(ARGS)

fuzz: .venv/.installed-test ## hostile bytes; long form
	@$(PYTEST) tests/fuzz tests/property --long $(ARGS)

crash-long: .venv/.installed-test peers ## 200 kills and 100 power cuts
	@$(PYTEST) tests/crash --long $(ARGS)

soak: .venv/.installed-test peers ## an hour of faults under load (SOAK_SECONDS=172800 before a release)
	@SOAK_SECONDS=$(SOAK_SECONDS) $(PYTEST) tests/soak --long -k long -s $(ARGS)

bench: .venv/.installed-test peers ## figures beside those of the peers
	@$(PYTHON) -m tests.bench $(ARGS)

growth: .venv/.installed-test ## how cost grows with size, associations, rules, stations, backlog
	@$(PYTHON) -m tests.bench.growth $(ARGS)

profile: .venv/.installed-test ## where the time goes, by function, beside a running router
	@$(PYTHON) -m tests.bench.profile

docs: .venv/.installed-test ## writes the generated schema and documents
	@$(PYTHON) -m tests.support.write_docs $(ARGS)
