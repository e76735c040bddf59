# `make demo` and `make test` need python3 (3.11 or newer), make and the network, nothing else.

PYTHON ?= python3
CONFIG ?= /etc/dicomgate/config.yaml
PYTEST ?=
QUICK ?=

# Tests of tests/integration that are longer in a soak.
WHOLE := $(addprefix tests/integration/test_,gigabytes_each_way.py health_checks_harm_nobody.py three_orthancs.py)

# Where the gateway and its tools are installed. With another Python: make VENV=.venv-other PYTHON=/usr/bin/python3 check
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# What depends on the build of Python: its `ssl` and the OpenSSL below it, TLS in asyncio, and the verbs of the command
# line with their output and exit codes. `.ci/run` runs these under a second Python, so they stay below two minutes.
TLS_AND_CLI := $(addprefix tests/integration/test_,certificate_by_sni.py two_tenants_by_sni.py dcmtk_tls_options.py \
  weaker_than_the_profile.py pinned_device_certificates.py pki_with_openssl_and_gnutls.py egress_to_ingress.py \
  hostile_endings.py tls_on_either_leg.py echo_against_real_peers.py echo_through_the_gateway.py init_run_echo.py \
  control_verbs.py import_orthanc.py examples_answer_as_check_prints.py demo_runs_once.py)

.PHONY: help demo run test tls-and-cli soak check fuzz bench peers clean
help:
	@echo 'make demo   the gateway between a sender and an embedded PACS, explained step by step'
	@echo 'make run    the gateway with CONFIG=/etc/dicomgate/config.yaml'
	@echo 'make check  format, lint, types, layers and unit tests: seconds'
	@echo 'make test   everything, with real peers (DCMTK, Orthanc, HAProxy, ...): minutes; PYTEST="-k sni -x" for a part'
	@echo 'make tls-and-cli  of these, what depends on the Python that runs them'
	@echo 'make soak   the load and fault tests of tests/soak at full length: three hours; DICOMGATE_SOAK_MINUTES=10080 for a week'
	@echo 'make fuzz   random input for the parsers, for longer'
	@echo 'make bench  speed and memory beside nginx, HAProxy and stunnel, < 20 minutes; QUICK=1 < 3; writes bench-result.json'
	@echo 'make clean  removes what the other targets made'

demo: $(INSTALLED)
	$(BIN)/dicomgate demo

run: $(INSTALLED)
	$(BIN)/dicomgate run --config $(CONFIG)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy proxy
	$(BIN)/python -m pytest -q tests/unit

test: $(INSTALLED) peers
	$(BIN)/python -m pytest -q $(PYTEST)

tls-and-cli: $(INSTALLED) peers
	$(BIN)/python -m pytest -q $(TLS_AND_CLI) $(PYTEST)

soak: $(INSTALLED)
	DICOMGATE_SOAK=1 $(BIN)/python -m pytest -q tests/soak $(WHOLE) $(PYTEST)

fuzz: $(INSTALLED)
	$(BIN)/python -m pytest -q --hypothesis-profile=fuzz tests/fuzz
	@if $(BIN)/python -c 'import atheris' 2>/dev/null; then $(BIN)/python -m tests.fuzz.atheris_dimse -max_total_time=60; \
	  else echo 'atheris has no wheel for this Python or machine: only Hypothesis has run'; fi

bench: $(INSTALLED)
	@VENV=$(VENV) .ci/peers bench
	$(BIN)/python -m tests.bench $(if $(QUICK),--quick)

peers:
	@VENV=$(VENV) .ci/peers

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv; } || \
	  { echo 'this Python cannot make virtual environments: apt-get install python3-venv' >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,demo]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-debian build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-data bench-result.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
