# make demo: environment in .venv, then the whole pipeline on a small sample it makes
# make test: environment in .venv, then the tests
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: venv demo test lint golden lock bench cluster cluster-down clean

venv: .venv/installed

# Anew whenever the lock changes, so that nothing is installed that the lock does not name.
.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

demo: venv
	$(BIN)/kfdet demo --output demo

test: venv
	$(BIN)/pytest

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The pipeline that the tests compare with; look at the difference before committing it.
golden: venv
	$(BIN)/kfdet compile --output tests/pipelines/golden/training.yaml
	git diff --stat -- tests/pipelines/golden

# Needs uv; --upgrade moves every pin.
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra train --extra serve --group dev \
		--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
		--quiet --output-file requirements.lock

bench: venv
	$(BIN)/python -m benchmarks $(if $(DATA),--data $(DATA))

# A Kubernetes cluster of one node with Kubeflow Pipelines, KServe and MinIO on this machine; needs root and Go.
cluster:
	$(PYTHON) tests/cluster/rig up

# Leaves the builds for the next time; CACHE=--cache removes those, too.
cluster-down:
	$(PYTHON) tests/cluster/rig down $(CACHE)

clean:
	rm -rf .venv build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache
