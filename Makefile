# `make lab` and `make test` are all that most people need; `make` alone lists the rest.

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python)
SUPPORTED := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
UV_COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --generate-hashes --python-version 3.11 \
	--annotation-style line --custom-compile-command 'make lock' $(ARGS)

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# pip brings uv and the build backend, uv brings the rest. A failure of uv is not the end: for some machines there is
# none, and behind a company mirror often only pip is set up. On a terminal uv's progress is welcome, in a log its list
# of packages is not. The project itself comes last and without dependencies: a folder has no hash to check.
BUILD_TOOLS := $(PIP) --require-hashes --only-binary :all: -r requirements-build.lock
install = set -e; \
	$(BIN)/python -c '$(SUPPORTED)' || { \
		echo 'The Python of $(VENV) is not 3.11 to 3.13: remove it with make distclean, then try again.' >&2; exit 1; }; \
	echo 'Installing from $(1)'; \
	$(BUILD_TOOLS) || echo 'uv is not to be had here; pip goes on without it.'; \
	{ [ -x $(BIN)/uv ] && $(BIN)/uv pip install $$([ -t 2 ] || echo --quiet) \
		--python $(BIN)/python --require-hashes -r $(1); } || $(PIP) --require-hashes -r $(1); \
	$(PIP) --no-deps $$($(BIN)/python -c 'import editables, hatchling' 2>/dev/null && echo --no-build-isolation) --editable .

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab test lint unit lock samples clean distclean

help:
	@echo 'make lab        open JupyterLab with the lessons     (ARGS="--no-browser" goes to ecrlab start)'
	@echo 'make test       run every check and every test       (ARGS="-k push" goes to pytest)'
	@echo 'make lint       style, types and import rules only'
	@echo 'make unit       the tests only'
	@echo 'make lock       bring the lock files in line with pyproject.toml (ARGS="--upgrade" for newer versions)'
	@echo 'make samples    build the sample images again'
	@echo 'make clean      remove caches and build results; make distclean also removes $(VENV)'
	@echo 'PYTHON=... names the Python that makes $(VENV), when the first one on the PATH is not the right one.'

lab: $(VENV)/.lab
	@exec $(BIN)/ecrlab start $(ARGS)

# Every check runs even when one fails, so that one run shows all there is to mend.
# The tests come last: their closing line is what a reader, or CI, looks for.
test: $(VENV)/.test
	@lint=0; $(MAKE) --no-print-directory lint || lint=$$?; \
	$(MAKE) --no-print-directory unit && tests=0 || tests=$$?; \
	[ $$lint -eq 0 ] || echo 'make test: the checks before the tests failed, see above.' >&2; \
	exit $$((lint + tests))

lint: $(VENV)/.test
	@status=0; \
	for check in 'ruff check' 'ruff format --check' 'mypy' 'lint-imports'; do \
		echo "== $$check"; $(BIN)/$$check || status=1; \
	done; \
	exit $$status

unit: $(VENV)/.test
	@echo '== pytest'
	@$(BIN)/python -m pytest -n auto $(ARGS)

# The test lock holds everything; the two smaller ones take their versions from it.
lock: $(BIN)/python
	@$(BUILD_TOOLS)
	@$(UV_COMPILE) pyproject.toml --extra test --output-file requirements-test.lock
	@$(UV_COMPILE) pyproject.toml --constraints requirements-test.lock --output-file requirements.lock
	@$(UV_COMPILE) --group install --constraints requirements-test.lock --output-file requirements-build.lock

samples: $(VENV)/.test
	@$(BIN)/python tools/build_samples.py $(ARGS)

CACHES := __pycache__ .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
clean:
	rm -rf build dist
	find . -name $(VENV) -prune -o -type d \( -false $(CACHES:%=-o -name %) \) -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

$(BIN)/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c '$(SUPPORTED)' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version)"; \
			exec "$$python" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo 'ecrlab needs Python 3.11, 3.12 or 3.13 with its venv module; none found among: $(PYTHONS).' >&2; \
	echo 'Install one (Debian and Ubuntu: apt install python3-venv), or name it: make lab PYTHON=/path/to/python3.12' >&2; \
	exit 1

$(VENV)/.lab: requirements.lock requirements-build.lock pyproject.toml $(BIN)/python
	@$(call install,requirements.lock)
	@touch $@

# The test lock holds the learner's packages too, so one environment serves both.
$(VENV)/.test: requirements-test.lock requirements-build.lock pyproject.toml $(BIN)/python
	@$(call install,requirements-test.lock)
	@touch $@ $(VENV)/.lab
