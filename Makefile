PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
# Windows keeps the programs of an environment elsewhere
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(SCRIPTS)
READY := $(VENV)/.ready
KERNELS := $(VENV)/.kernels
FAST := src/napari_tem_rf/learning/fast
OUT ?= demo_output
# the model zoo's own tools, where this program is not
BIOIMAGE := .venv-bioimage
NETWORKS ?= 20
# two processes, each with whole files of tests, the longest first; JOBS= for one, with a debugger
JOBS ?= -n 2 --dist loadfile --no-loadscope-reorder
CHAOS_SECONDS ?= 600
SOAK_SECONDS ?= 3600
# of each reader, each kind of record
FUZZ_SECONDS ?= 60
MUTANTS_SECONDS ?= 3600
# modules, what wants arguments, and the study, which takes days
NO_BENCH := chaos fuzz mutants soak paper_unet sparse_series effective_field_widths receptive_field_study \
	shared_models touching_particles
BENCH ?= $(filter-out $(NO_BENCH:%=benchmarks/%.py),$(sort $(wildcard benchmarks/*.py)))

# an environment ($1) that finds what is in .venv too; $2 is touched
define on-top
@$(1)/$(SCRIPTS)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $(2).path
@$(BIN)/python -c "import sysconfig; \
	print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
	> "$$(cat $(2).path)/program.pth"
@touch $(2)
endef

# hundreds of processes import the package while it is tested: compile its modules once
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup kernels run test lint bench bioimage bioimage-env chaos soak fuzz mutants test-prerelease dist check-dist \
	check-lowest check-workflows docs docs-links docs-pictures clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## the virtual environment in .venv, with everything to run, test and lint

$(BIN)/python$(if $(filter Windows_NT,$(OS)),.exe):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV): this takes some minutes once"
	$(PYTHON) -m venv $(VENV) \
		|| { echo "Debian and Ubuntu keep venv in a package: apt-get install python3-venv"; exit 1; }

# torch first and by itself: pip then takes a local CPU build where one is offered.
$(READY): pyproject.toml constraints.txt | $(BIN)/python$(if $(filter Windows_NT,$(OS)),.exe)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

# Numba compiles again where the file of a function changed, not where one that it calls did.
$(KERNELS): $(addprefix $(FAST)/,bands.py kernels.py levels.py rolling.py) $(READY)
	@rm -f $(FAST)/__pycache__/*.nb[ci]
	@$(BIN)/python -c 'from napari_tem_rf.learning.fast import compiled; compiled.warm_up()'
	@touch $@

kernels: $(KERNELS)

run: $(KERNELS) ## the main job on the sample data: train, predict, score, look (OUT=folder)
	$(BIN)/napari-tem-rf demo --out $(OUT) --show

test: $(KERNELS) ## all tests, on a virtual screen where there is none (ARGS="-k name" for some)
	@.ci/install-screen
	.ci/with-screen $(BIN)/python -m pytest $(JOBS) $(ARGS)

lint: $(READY) ## ruff, mypy and the floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(KERNELS) ## every benchmark; each prints a table (BENCH=benchmarks/one.py for one)
	@.ci/install-screen
	@for script in $(BENCH); do \
		echo "== $$script"; .ci/with-screen $(BIN)/python $$script || exit 1; done

# pydantic: what bioimageio.spec 0.5.12 works with
$(BIOIMAGE)/.ready:
	$(PYTHON) -m venv $(BIOIMAGE)
	$(BIOIMAGE)/bin/python -m pip install --quiet -c constraints.txt torch
	$(BIOIMAGE)/bin/python -m pip install --quiet "bioimageio.core==0.11.0" onnxruntime "pydantic<2.13"
	@touch $@

bioimage-env: $(BIOIMAGE)/.ready ## the tools of the BioImage Model Zoo, in an environment of their own

bioimage: $(READY) bioimage-env ## random networks shared in every format, tested by those tools (NETWORKS=20)
	$(BIN)/python benchmarks/shared_models.py --python $(BIOIMAGE)/bin/python --networks $(NETWORKS)

chaos: $(KERNELS) ## workers killed, stopped and starved while jobs run and strokes are painted (CHAOS_SECONDS=600)
	@.ci/install-screen
	.ci/with-screen $(BIN)/python benchmarks/chaos.py --window --seconds $(CHAOS_SECONDS)

soak: $(KERNELS) ## an hour of work in a window while workers are killed: memory and files stay level (SOAK_SECONDS=3600)
	@.ci/install-screen
	.ci/with-screen $(BIN)/python benchmarks/soak.py --seconds $(SOAK_SECONDS)

# on top of the environment with the program
build/fuzz-env/.on-top build/mutants-env/.on-top: build/%-env/.on-top: build/%-env $(READY)
	$(call on-top,$<,$@)

fuzz: build/fuzz-env/.on-top ## files that nobody thought of, for each reader and record (FUZZ_SECONDS=60 for each)
	build/fuzz-env/$(SCRIPTS)/python benchmarks/fuzz.py --seconds $(FUZZ_SECONDS) $(ARGS)

mutants: build/mutants-env/.on-top ## which changes of the code no unit test notices; goes on where it was stopped
	build/mutants-env/$(SCRIPTS)/python benchmarks/mutants.py --seconds $(MUTANTS_SECONDS) $(ARGS)

# What is needed for one thing only has an environment of its own, with a group of pyproject.toml.
build/%-env: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $@
	$@/$(SCRIPTS)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$@/$(SCRIPTS)/python -m pip install --quiet -c constraints.txt --group $*
	@touch $@

test-prerelease: $(KERNELS) ## the same with napari's newest prerelease, which it leaves in .venv
	$(BIN)/python -m pip install --quiet --upgrade --pre "napari[all]"
	$(MAKE) test

dist: build/dist-env ## wheel and source archive in dist/, checked
	rm -rf dist
	$</$(SCRIPTS)/python -m build --outdir dist
	$</$(SCRIPTS)/twine check --strict dist/*
	$</$(SCRIPTS)/check-wheel-contents dist/*.whl
	$</$(SCRIPTS)/python packaging/check_contents.py dist

check-dist: dist ## the wheel in an empty environment elsewhere: train, predict, open napari
	@.ci/install-screen
	PYTHON="$(PYTHON)" packaging/check-dist dist/*.whl

check-lowest: dist ## the same with the oldest versions that pyproject.toml allows
	@.ci/install-screen
	LOWEST=1 UV="$(CURDIR)/build/dist-env/$(SCRIPTS)/uv" PYTHON="$(PYTHON)" packaging/check-dist dist/*.whl

check-workflows: build/workflows-env ## the workflows and forms in .github, and the recipe for conda
	$</$(SCRIPTS)/zizmor --offline .github
	$</$(SCRIPTS)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$</$(SCRIPTS)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$</$(SCRIPTS)/python packaging/check_recipe.py

# on top of the environment with the program, whose docstrings and commands are pages
build/docs-env/.on-top: build/docs-env $(READY)
	$(call on-top,$<,$@)

docs: build/docs-env/.on-top ## the documentation site in build/docs; warnings are errors
	build/docs-env/$(SCRIPTS)/python -m sphinx -W --keep-going -q -j auto \
		-c docs -d build/docs-cache . build/docs
	@echo "build/docs/index.html"

docs-links: build/docs-env/.on-top ## whether the links to other sites lead somewhere
	build/docs-env/$(SCRIPTS)/python -m sphinx -q -b linkcheck -c docs . build/docs-links

docs-pictures: $(KERNELS) ## the pictures of the user guide, from the real program
	@.ci/install-screen
	@for script in docs/pictures_*.py; do \
		echo "== $$script"; .ci/with-screen $(BIN)/python $$script || exit 1; done

clean: ## everything that make made, the virtual environment too
	rm -rf $(VENV) $(BIOIMAGE) $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
