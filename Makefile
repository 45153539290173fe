# SPDX-License-Identifier: Apache-2.0
# make demo and make test need nothing but Python 3.11: they set up what they use.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: setup demo test test-fidelity test-vm lint format docs bench clean
.DELETE_ON_ERROR:

setup: $(READY)
	@:

$(READY): pyproject.toml
	@sh .ci/setup venv $(VENV)
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@sh .ci/setup bcc $(VENV)
	@touch $@

demo: setup
	@$(BIN)/python -m tests.workloads.demo

# First what needs the machine for itself (tests/kernel/conftest.py), then the others, one on each CPU.
test: lint
	@sh .ci/setup compiler
	@sh .ci/setup browser
	@$(BIN)/python -m pytest -m alone tests/kernel
	@$(BIN)/python -m pytest -m 'not alone and not bench' --numprocesses auto --dist loadfile tests/browser tests/kernel tests/pure tests/sql

# Real programs, rebuilt and held against the kernel's own maps: some five minutes.
test-fidelity: setup
	@sh .ci/setup compiler
	@sh .ci/setup fidelity
	@$(BIN)/python -m tests.fidelity

# Debian's kernels 5.10, 6.1, 6.12 and 7.2 in QEMU, emulated: some five minutes each on a quiet machine.
test-vm: setup
	@sh .ci/setup compiler
	@sh .ci/setup qemu
	@$(BIN)/python -m pytest tests/vm/test_kernels.py

lint: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary

format: setup
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

# What is made of the code: pages of commands, the data dictionary, the outputs of the notebooks.
docs: setup
	@$(BIN)/python -m docs.generate
	@$(BIN)/python -m notebooks.execute

bench: setup
	@sh .ci/setup compiler
	@sh .ci/setup bench
	@$(BIN)/python -m pytest -m bench tests/kernel
	@$(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.bench.rebuild

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
