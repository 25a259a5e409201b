# Two commands on a bare machine with python3.11, pip and make:
#   make quickstart   set up, train the first model, write its report; seed=1 for another seed
#   make test         set up, run the tests (under five minutes on two cores)
# and `make cluster` adds engine verl for this machine's CPU, `make test-cluster` tests it (half an hour on two cores)
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CLUSTER_STAMP := $(VENV)/.installed-cluster
# no bytecode means every import is compiled again, in every process; spinning OpenMP pools fight over few cores
RUN := env -u PYTHONDONTWRITEBYTECODE OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false
INSTALL = $(RUN) $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt
# behind a proxy that signs with its own certificate, uv has to be told to look where the system keeps it
TRUSTING = UV_SYSTEM_CERTS=true UV_NATIVE_TLS=true
seed ?= 0
ARGS ?=

.PHONY: quickstart test test-cluster lint setup cluster clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(INSTALL) -e ".[dev]" || $(TRUSTING) $(INSTALL) -e ".[dev]"
	touch $@

# engine verl on this machine's CPU: verl, Ray and vLLM, six more gigabytes; and DeepSpeed for `medrl sft`
$(CLUSTER_STAMP): $(STAMP) constraints-overrides.txt
	$(INSTALL) --override constraints-overrides.txt -e ".[dev,cpu,deepspeed]" || $(TRUSTING) $(INSTALL) --override constraints-overrides.txt -e ".[dev,cpu,deepspeed]"
	touch $@

quickstart: setup
	$(RUN) $(BIN)/medrl train recipes/quickstart.yaml seed=$(seed) $(if $(filter-out 0,$(seed)),name=quickstart_seed$(seed)) $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(RUN) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not cluster" $(ARGS)

cluster: $(CLUSTER_STAMP)

test-cluster: cluster
	{ command -v chromium && command -v slurmctld && command -v munged && command -v shellcheck; } >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium slurm-wlm munge shellcheck; }
	$(RUN) PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m cluster $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
