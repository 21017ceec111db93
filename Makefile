# make demo    train, build, validate and report a network on real sEMG recordings
# make test    every test but the long ones, and those that add little (CONTRIBUTING.md)
# make check   format, lint, types, imports, unused names, dead files, size, what a build enters
# make format  formats Python and C
# make bench   timings          make test-all   the long tests too          make wheel, docs, clean
# make figures simulated cycles of the tables in docs/, recorded anew
# make site    the documentation as a site, in site/
# make fuzz    drawn networks, hostile files, edited builds, kills; goes on behind build/fuzz.jsonl
# make test-integrations   with the libraries of myoedge/extensions/integrations, in .venv-integrations
# make zoo     published sEMG networks, and those of braindecode, tsai, timm, torchvision and
#              transformers, built and recorded
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
DEV_STAMP := $(VENV)/installed-dev
ZOO := .venv-zoo
INTEGRATIONS := .venv-integrations
# golden files and intrinsics are as their generators write them; sources of recorded programs stay as they were run
C_FILES = $(shell git ls-files '*.c' '*.h' ':!tests/golden' ':!tests/fixtures' ':!firmware_templates/include/me_intrinsics*')
# As many test processes as there are processors; each computes on one thread, so that they do not
# fight for them.
JOBS ?= auto
test test-all test-integrations: export OMP_NUM_THREADS = 1
test test-all test-integrations: export OPENBLAS_NUM_THREADS = 1
# Hundreds of processes start: none of them compiles a package anew. pip compiles nothing (it takes a
# minute for all of torch): each module is compiled where it is imported first, for tests all at once
# (packages hold files for other versions of Python, which are no errors).
demo test test-all test-integrations: export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-all test-integrations check format bench figures fuzz zoo docs site wheel clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(DEV_STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

test-all: export MYOEDGE_TESTS_AT_LENGTH = 1
test-all: $(DEV_STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-integrations: $(INTEGRATIONS)/installed
	$(INTEGRATIONS)/bin/python -m pytest tests/extensions/integrations

check: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/python -m tests.dead_files
	$(BIN)/python -m tests.size
	$(BIN)/python -m tests.entered

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

bench: $(DEV_STAMP)
	$(BIN)/python tests/bench.py

figures: $(DEV_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.figures

# FUZZ="--networks 100 --files 0 --edits 0 --kills 0 --minutes 30", say
fuzz: $(DEV_STAMP)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 nice $(BIN)/python -W ignore -m tests.fuzz.campaign $(FUZZ)

zoo: $(ZOO)/installed
	OMP_NUM_THREADS=1 $(ZOO)/bin/python -W ignore -m tests.upstream.record --record

docs: $(STAMP)
	$(BIN)/python -m tests.simulator.accuracy_page
	$(BIN)/python -m tests.energy_page
	$(BIN)/python -m tests.transcripts

site: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html; to search in it: $(BIN)/python -m http.server -d site"

wheel: $(DEV_STAMP)
	$(BIN)/python -m build --wheel

$(STAMP): pyproject.toml constraints.txt
	@echo "installing into $(VENV): torch and what else a build needs, about half a minute"
	@start=$$(date +%s); set -ex; \
	$(PYTHON) -m venv $(VENV); \
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile \
		--constraint constraints.txt --editable ".[torch]"; \
	{ set +x; } 2> /dev/null; echo "installed: $$(($$(date +%s) - start)) s"
	touch $@

$(DEV_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[torch,dev]"
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib || true
	touch $@

$(VENV)/installed-docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[torch,docs]"
	touch $@

# torchaudio's compiled part wants CUDA's libraries; networks need its Python part alone.
$(ZOO)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(ZOO)
	$(ZOO)/bin/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[torch,dev,zoo]"
	rm -f $(ZOO)/lib/python*/site-packages/torchaudio/lib/_torchaudio*
	touch $@

$(INTEGRATIONS)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(INTEGRATIONS)
	$(INTEGRATIONS)/bin/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[torch,dev,lightning,mlflow,huggingface]"
	touch $@

clean:
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
