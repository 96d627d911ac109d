# make demo     create the environment in .venv, make a small sample dataset, run the pipeline on it
# make test     create the environment in .venv, run the tests
# make venv     create the environment only
# make fuzz     damage files by the thousand and read them; SETS=, MEDIA= say how many
# make lint     style, types, directions of imports
# make golden   update the compiled pipelines that tests compare with
# make lock     update the pinned versions (needs uv)
# make images   build the container images
# make bench    measure against other tools
# make cluster  build a test cluster on this machine; make e2e tests on it; make cluster-down removes it
# make clean    delete the environment and everything that was built
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: venv demo test fuzz e2e images lint golden lock bench cluster cluster-down clean

venv: .venv/installed

# Rebuilt whenever the lock changes, so that only what the lock names is installed.
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

# In parallel, a module's tests in one process; at most four, as TensorFlow takes 2 GB in each. The
# modules come in the order of tests/conftest.py, not by their number of tests.
test: venv
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

# Continues where it was ended; a turn of some seeds is part of `make test`.
fuzz: venv
	$(BIN)/python tests/hostile/fuzz.py $(if $(SETS),--sets $(SETS)) $(if $(MEDIA),--media $(MEDIA))

# On the cluster that KUBECONFIG names; `make cluster` brings one up.
e2e: venv
	KFDET_E2E=1 $(BIN)/pytest tests/e2e/kubernetes

# kfdet as it is installed, components and pipelines among its packages, so that imports resolve.
INSTALLED := build/installed

# Checks the types of the cluster tests and of the benchmarks, too, which `make test` does not run.
lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	rm -rf $(INSTALLED) && mkdir -p $(INSTALLED)/kfdet
	cd $(INSTALLED)/kfdet && ln -s ../../../kfdet/* ../../../components ../../../pipelines .
	cd $(INSTALLED) && $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml --no-cache
	cd $(INSTALLED) && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache/installed --package kfdet
	MYPYPATH=tests $(BIN)/mypy --allow-untyped-calls --allow-untyped-decorators tests/e2e/kubernetes
	$(BIN)/mypy --allow-untyped-calls --explicit-package-bases --package benchmarks

# Look at the difference before you commit it.
golden: venv
	$(BIN)/kfdet compile --output tests/pipelines/golden/training.yaml
	$(BIN)/kfdet compile --pipeline sweep --output tests/pipelines/golden/sweep.yaml
	$(BIN)/kfdet compile --pipeline scoring --output tests/pipelines/golden/scoring.yaml
	git diff --stat -- tests/pipelines/golden

COMPILE := uv pip compile --generate-hashes --no-annotate --no-header --no-emit-index-url \
	--no-emit-find-links --quiet --python-version 3.11
# What one image needs, in the versions of requirements.lock.
COMPILE_IMAGE := $(COMPILE) --python-platform linux --constraint requirements.lock

# Needs uv. Pins that still fit stay; delete a lock to move all of its pins.
lock:
	$(COMPILE) pyproject.toml --universal --extra train --extra serve --group dev --output-file requirements.lock
	printf 'setuptools\nsetuptools-scm\nwheel\n' | $(COMPILE_IMAGE) - --output-file docker/build.lock
	echo tensorflow | $(COMPILE_IMAGE) pyproject.toml - --output-file docker/common.lock
	$(COMPILE_IMAGE) pyproject.toml --extra train --output-file docker/kfdet.lock
	echo 'tensorflow[and-cuda]' | $(COMPILE_IMAGE) pyproject.toml - --extra train --output-file docker/kfdet-training.lock
	$(COMPILE_IMAGE) pyproject.toml --extra serve --output-file docker/kfdet-serving.lock
	printf 'boto3\ntensorboard\n' | $(COMPILE_IMAGE) - --output-file docker/kfdet-tensorboard.lock

# The images that the pipeline and the manifests name, for linux/amd64, built with Docker, Podman or
# Buildah, whichever is installed. For your own registry:
#   make images IMAGE_PREFIX=registry.example.org/team/ TAG=2
# IMAGE_PREFIX  prefix of kfdet, kfdet-training, kfdet-serving and kfdet-tensorboard; empty for nodes
#               that have them in their own image store (kind load docker-image)
# TAG           tag of all four; default: kfdet's version, which the pipeline expects
# SOURCE        address of the source code, for the image label of that name; empty: no label
# IMAGE_BUILD   the build command, with your own flags such as --build-arg BASE=...
IMAGES := kfdet-tensorboard kfdet-serving kfdet kfdet-training
TAG ?= $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' kfdet/__init__.py)
IMAGE_BUILD ?= $(shell if docker info >/dev/null 2>&1; then echo docker build; \
	elif command -v podman >/dev/null; then echo podman build; else echo buildah build --layers; fi)

images: $(IMAGES:%=image/%)

image/%:
	$(IMAGE_BUILD) --file docker/Dockerfile --target $* --tag $(IMAGE_PREFIX)$*:$(TAG) \
		--label org.opencontainers.image.version=$(TAG) \
		--label org.opencontainers.image.revision=$(shell git describe --always --abbrev=40 --dirty --exclude '*') \
		$(if $(SOURCE),--label org.opencontainers.image.source=$(SOURCE)) .

bench: venv
	$(BIN)/python -m benchmarks $(if $(DATA),--data $(DATA))

# One node with Kubeflow Pipelines, KServe and MinIO; needs root and Go. KFP=2.16.1 takes that version.
cluster:
	$(if $(KFP),KFDET_CLUSTER_KFP=$(KFP)) $(PYTHON) tools/cluster up

# Keeps the builds for the next time; CACHE=--cache removes them, too.
cluster-down:
	$(PYTHON) tools/cluster down $(CACHE)

clean:
	rm -rf .venv build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache
