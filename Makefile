# `make` lists the targets. Everything is set up in .venv by itself, again when pyproject.toml changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TRITON := .venv-triton
TRITON_READY := $(TRITON)/.ready
MOSEC := .venv-mosec
MOSEC_READY := $(MOSEC)/.ready
LITSERVE := .venv-litserve
LITSERVE_READY := $(LITSERVE)/.ready
PROTO := .venv-proto
PROTO_READY := $(PROTO)/.ready
PACKAGES := fovea trainer server scorer demo benchmarks containers
CODE := $(PACKAGES) tests
# Compiled once: an environment that forbids it (images of Python do) compiles all tests at each start of pytest.
export PYTHONDONTWRITEBYTECODE =
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help setup demo loop test test-slow test-triton soak bench-serving test-gpu gpu-kit mutants lint types proto manifests options architecture surface images try-images base-image locks release clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Set up .venv with all that development needs

# The extension that resizes is compiled by the installation.
$(READY): pyproject.toml constraints.txt $(wildcard fovea/images/_*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	@echo "Setting up $(VENV); the first time this downloads several GB (PyTorch with CUDA)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,serve,score,dev]'
	@touch $@

TASK ?= single
demo: $(READY) ## Train on real digits, serve, classify over gRPC, score a folder (a minute and a half; TASK=multi: pairs of digits)
	@$(if $(filter single multi,$(TASK)),,$(error TASK=$(TASK): single or multi))$(BIN)/python -m demo$(if $(filter multi,$(TASK)),.pairs)

loop: $(READY) ## Train on wrong labels, serve, capture, label, train again, compare, promote; refuse a bad one (some minutes)
	@$(BIN)/python -m demo.loop

JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
test: $(READY) ## Run the tests, JOBS at a time (some 6 minutes on 2 cores)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder -m 'not slow and not gpu and not images'

# What measures a latency, a throughput or memory, and so wants the machine for itself.
QUIET := $(addprefix tests/,fovea/client/test_rollout.py scorer/test_many_keys.py scorer/test_memory.py \
	server/test_cost_of_a_core.py server/test_overload.py server/test_reload_under_load.py server/test_soak.py)
test-slow: $(READY) test-triton ## Run the long tests that need no GPU, those with Triton too
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal -m slow $(QUIET:%=--ignore=%)
	@$(BIN)/python -m pytest -m slow $(QUIET)

test-triton: $(READY) $(TRITON_READY) ## Run NVIDIA's server on our model, and its client on both servers
	@$(TRITON)/bin/python -m pytest --confcutdir=tests/triton tests/triton

$(TRITON_READY): tests/triton/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' || { echo "Python 3.11 or 3.12 is needed, for the numpy 1 that this Triton takes: make PYTHON=python3.11"; exit 1; }
	@echo "Setting up $(TRITON): tritonserver and tritonclient, 60 MB."
	$(PYTHON) -m venv --clear $(TRITON)
	$(TRITON)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

soak: $(READY) ## Let all kinds of clients loose on a server for 10 minutes
	@$(BIN)/python -m benchmarks.soak --seconds 600

# What the table is measured beside: any checkout of the project, or this commit's files, which make fetches.
OLDER ?= d1804b7
BUILD ?= .builds/$(OLDER)
bench-serving: $(READY) $(TRITON_READY) $(MOSEC_READY) $(LITSERVE_READY) $(filter .builds/%,$(BUILD)) ## Measure this build beside an older one, Triton, mosec and LitServe (BUILD, ONLY, SECONDS, ROUNDS)
	@$(BIN)/python -m benchmarks.table --build $(BUILD) $(if $(ONLY),--only $(ONLY)) $(SECONDS:%=--seconds %) $(ROUNDS:%=--rounds %)

.builds/%:
	@git rev-parse --quiet --verify '$*^{commit}' > /dev/null || { echo "there is no commit $* here: git fetch --unshallow, or BUILD=FOLDER of another checkout"; exit 1; }
	@rm -rf $@.new && mkdir -p $@.new && git archive $* | tar -x -C $@.new
	@test ! -e $@.new/fovea/images/_resize.c || (cd $@.new && $(CURDIR)/$(BIN)/python -c 'import setuptools; setuptools.setup()' -q build_ext --inplace)
	@mv $@.new $@

$(MOSEC_READY) $(LITSERVE_READY): .venv-%/.ready: benchmarks/%_requirements.txt benchmarks/peer_requirements.txt constraints.txt
	@echo "Setting up .venv-$*: $* and onnxruntime, 60 MB."
	$(PYTHON) -m venv --clear .venv-$*
	.venv-$*/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -r $<
	@touch $@

test-gpu: $(READY) ## Run the tests that need a CUDA device
	@$(BIN)/python -m pytest -m gpu

REHEARSE ?=
PART_MIB ?=
gpu-kit: $(READY) ## Prepare what measures all of this on a machine with a GPU and no internet (PART_MIB; REHEARSE=1 tries it here, on the CPU)
	@$(BIN)/python -m benchmarks.gpu $(if $(REHEARSE),--rehearse) $(PART_MIB:%=--part-mib=%)

mutants: $(READY) $(VENV)/.mutants ## Look for faults that no test would find, in copies of the checkout (ROOM, SAMPLE, SEED)
	@$(BIN)/python -m tests.mutants $(ROOM) $(SAMPLE:%=--sample=%) $(SEED:%=--seed=%)

$(VENV)/.mutants: pyproject.toml
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group mutants
	@touch $@

lint: $(READY) ## Check style and format
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

types: $(READY) ## Check the types, strictly
	@$(BIN)/mypy

PROTOC = PATH="$(BIN):$$PATH" $(PROTO)/bin/python -m grpc_tools.protoc -I proto -I $(VENV)/lib/python3*/site-packages
proto: $(READY) $(PROTO_READY) ## Generate fovea/v1 and fovea/oip from proto/
	@$(PROTOC) --python_out=. --grpc_python_out=. --mypy_out=quiet:. --mypy_grpc_out=quiet:. proto/fovea/*/*.proto

$(PROTO_READY): proto/requirements.txt
	$(PYTHON) -m venv --clear $(PROTO)
	$(PROTO)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

manifests: $(READY) ## Render all of deploy/ and check it (needs kubectl and promtool)
	@CI=true $(BIN)/python -m pytest -q -m 'not slow' tests/deploy

options: $(READY) ## Write docs/options.md and compare.json's schema from the classes
	@$(BIN)/python -m tests.options_page
	@$(BIN)/python -c 'import json; from trainer.compare.record import ComparisonRecord as record; print(json.dumps(record.model_json_schema(mode="serialization"), indent=1))' >docs/compare.schema.json

architecture: $(READY) ## Write the rooms and the figures into docs/architecture.md
	@$(BIN)/python -m tests.architecture_page

surface: $(READY) ## Record anew what users see: options, wire, metrics, files, exit codes
	rm -rf tests/surface/recorded
	@RECORD_SURFACE=1 $(BIN)/python -m pytest -q -k as_recorded tests/surface tests/trainer/test_train.py

IMAGES ?= serve serve-gpu train
BASE_IMAGE ?= python:3.11-slim-bookworm
BUILD_OPTIONS ?=
BUILDER ?= $(if $(shell command -v buildah),buildah,docker)
COMMITTED_AT = $(or $(shell git log -1 --format=%ct 2>/dev/null),0)
BUILD_WITH_buildah = buildah bud --format docker --layers --timestamp $(COMMITTED_AT)
BUILD_WITH_docker = docker build
BUILD_ARGS = BASE_IMAGE=$(BASE_IMAGE) VERSION=$(VERSION) REVISION=$(shell git rev-parse --short HEAD)
images: $(IMAGES:%=image-%) ## Build the images with buildah or docker and, with buildah, try them (IMAGES, BASE_IMAGE, BUILD_OPTIONS)
	$(if $(filter buildah,$(BUILDER)),@$(MAKE) --no-print-directory try-images)

image-serve: BUILT = -f Dockerfile.serve -t fovea-serve:$(VERSION)
image-serve-gpu: BUILT = -f Dockerfile.serve -t fovea-serve:$(VERSION)-gpu --build-arg EXTRA=serve-gpu
image-train: BUILT = -f Dockerfile.train -t fovea-train:$(VERSION)
$(IMAGES:%=image-%):
	$(BUILD_WITH_$(BUILDER)) $(BUILD_OPTIONS) $(addprefix --build-arg ,$(BUILD_ARGS)) $(BUILT) .

try-images: $(READY) ## Run the images that are built as the pods of deploy/ (as root, with buildah, runc and kubectl)
	@$(BIN)/python -m pytest -m images tests/containers

MIRROR ?=
base-image: ## Make BASE_IMAGE of Debian's packages, where no registry is reachable (as root, with debootstrap and buildah)
	containers/base-image.sh $(BASE_IMAGE) $(MIRROR)

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--constraint constraints.txt --custom-compile-command "make locks"
locks: $(READY) ## Lock what the images install, with hashes, after pyproject.toml or constraints.txt changed
	$(LOCK) pyproject.toml --extra serve --extra score --extra formats --extra stores --extra jwt -o containers/lock/serve.txt
	$(LOCK) pyproject.toml --extra serve-gpu --extra score --extra formats --extra stores --extra jwt -o containers/lock/serve-gpu.txt
	$(LOCK) pyproject.toml --extra train --extra capture --extra formats --extra stores --extra tensorboard --extra mlflow --extra timm \
		-o containers/lock/train.txt
	$(LOCK) --group pyproject.toml:sbom -o containers/lock/sbom.txt

release: $(READY) ## Build wheel and sdist of a clean tree and tag it with pyproject.toml's version; pushes nothing
	@test -z "$$(git status --porcelain)" || { echo "release: there are changes that are not committed: git status"; exit 1; }
	@grep -q '^## $(VERSION) ' CHANGELOG.md || { echo "release: CHANGELOG.md has no '## $(VERSION) - DATE'"; exit 1; }
	@! git rev-parse -q --verify refs/tags/v$(VERSION) > /dev/null || { echo "release: there is a tag v$(VERSION); raise the version in pyproject.toml"; exit 1; }
	rm -rf dist build *.egg-info
	$(BIN)/python -m build --no-isolation --outdir dist
	git tag -a v$(VERSION) -m "Fovea $(VERSION)"
	@echo "v$(VERSION) is tagged here, its files are in dist/. Out it goes with: git push origin v$(VERSION)"

clean: ## Remove what was built, the demo's results and the caches, but not .venv
	rm -rf .demo dist build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
