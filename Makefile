# What to type first. Every target installs what it needs into this folder; nothing else on the machine is touched,
# except that `make test` run by root on Debian installs chromium when it is missing.

PYTHON ?= python3
LABEL_STUDIO_VERSION := 1.23.2
PORT ?= 9090
LABEL_STUDIO_PORT ?= 8080
INSTALLER ?= uv
ROUNDS ?= 30

BIN := .venv/bin
BOOTSTRAP = $(PYTHON) scripts/bootstrap.py --label-studio $(LABEL_STUDIO_VERSION) --installer $(INSTALLER)
DEMO_OPTIONS = --port $(PORT) --label-studio-port $(LABEL_STUDIO_PORT) \
	$(if $(IMAGES),--images "$(IMAGES)") $(if $(filter-out 0,$(ONCE)),--once)

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-pythons chaos screenshots lint audit clean

help: ## show this list
	@echo "make demo        a Label Studio with images and an ordered queue, up until Ctrl-C"
	@echo "                   IMAGES=folder            your images instead of drawn ones"
	@echo "                   ONCE=1                   print the order and end"
	@echo "                   PORT=9090                port of labelqueue"
	@echo "                   LABEL_STUDIO_PORT=8080   port of Label Studio"
	@echo "make test        every check: lint, types, tests against a real Label Studio in a real browser"
	@echo "make test-fast   the tests that need neither"
	@echo "make test-pythons   test-fast on every other supported Python of this machine"
	@echo "                   PYTHONS=\"...\"            programs to use besides those on the PATH"
	@echo "make chaos       storms against a real installation: kills, failures, fuzz and so on, in about 25 minutes"
	@echo "                   ONLY=kills,fuzz          some of them"
	@echo "                   ROUNDS=30                fewer is shorter, and less of everything"
	@echo "make screenshots the pictures of the console in docs/, of a project as the demo makes it"
	@echo "                   VIEWS=overview,map       some of them"
	@echo "make lint        ruff and mypy"
	@echo "make audit       known vulnerabilities of the installed versions, with pip-audit; asks the package index"
	@echo "make clean       remove environments, caches and the demo's data"
	@echo "PYTHON=...       a Python 3.11, 3.12 or 3.13, when python3 is none of them"
	@echo "INSTALLER=pip    install without uv, which is fetched otherwise"

demo:
	@$(BOOTSTRAP) demo
	@$(BIN)/labelqueue demo --label-studio .venv-labelstudio/bin/label-studio $(DEMO_OPTIONS)

test:
	@$(BOOTSTRAP) test
	@$(MAKE) --no-print-directory .lint
	$(BIN)/python $(if $(ARGS),-m pytest $(ARGS),scripts/lanes.py)

test-fast:
	@$(BOOTSTRAP) fast
	$(BIN)/python -m pytest -m "not e2e" $(ARGS)

test-pythons:
	@$(PYTHON) scripts/pythons.py $(foreach python,$(PYTHONS),--python $(python)) -- -m "not e2e" $(ARGS)

chaos:
	@$(BOOTSTRAP) test
	@PYTHONPATH="$(CURDIR)/backend:$(CURDIR)/selectors:$(CURDIR)/tests" $(BIN)/python -m chaos --rounds $(ROUNDS) $(if $(ONLY),--only $(ONLY)) $(ARGS)

screenshots:
	@$(BOOTSTRAP) test
	@$(BIN)/python scripts/screenshots.py --label-studio .venv-labelstudio/bin/label-studio $(if $(VIEWS),--views "$(VIEWS)")

lint:
	@$(BOOTSTRAP) fast
	@$(MAKE) --no-print-directory .lint

.PHONY: .lint
.lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# In an environment of its own: what it needs is not what it looks at.
audit:
	@$(BOOTSTRAP) fast
	@test -x .venv-audit/bin/pip-audit || { $(BIN)/python -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit; }
	.venv-audit/bin/pip-audit --skip-editable --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" $(ARGS)

clean:
	rm -rf .venv .venv-3.* .venv-audit .venv-labelstudio .labelqueue .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
