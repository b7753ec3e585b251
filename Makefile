# make demo: the main job on a fresh machine.   make test: what CI runs.
# The rest: test-all (also what takes minutes), test-colab (Colab's versions), bench, format.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Asked to run, since pyenv has a python3.13 in PATH also where it is switched off.
COLAB_PYTHON = $(shell python3.13 -c "" 2>/dev/null && echo python3.13 || echo $(PYTHON))
COLAB = tensorflow==2.20.0 keras==3.13.2 numpy==2.1.3 protobuf==5.29.6 'tensorflow-metadata<1.18'

# Building and tracing nets keeps one core busy; a file's tests share what it has made.
TWO_AT_A_TIME = -n 2 --dist loadfile

.PHONY: demo test test-all test-colab bench format clean

demo: $(VENV)/.installed
	$(BIN)/cvcourse train --dataset=digits

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(TWO_AT_A_TIME)

test-all: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "" $(TWO_AT_A_TIME)

# The fast suite under the versions that Colab ships (August 2026), Python's where it is there.
test-colab:
	$(MAKE) VENV=.venv-colab PYTHON=$(COLAB_PYTHON) CONSTRAINED="$(COLAB)" \
		.venv-colab/.installed-test
	.venv-colab/bin/python -m pytest $(TWO_AT_A_TIME)

# Torch is compared with where `.venv/bin/pip install torch torchvision` was run before.
bench: $(VENV)/.installed
	$(BIN)/cvcourse bench train
	$(BIN)/cvcourse bench networks
	$(BIN)/cvcourse bench features
	$(BIN)/cvcourse bench tune
	$(BIN)/cvcourse bench distribution
	$(BIN)/cvcourse bench sequence
	$(BIN)/cvcourse bench visualization
	$(BIN)/cvcourse bench compression
	$(BIN)/cvcourse bench filter_pruning
	$(BIN)/cvcourse bench export
	$(BIN)/cvcourse bench nearest_neighbors

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A stamp is written last, so an interrupted installation is done again.
$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINED) -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINED) -e '.[test]'
	touch $@

clean:
	rm -rf .venv .venv-colab build dist *.egg-info
