# SpectraFiLM. `make demo` and `make test` do all set-up themselves; root or sudo is needed for QGIS.

BUILD := build
PLUGINS := $(BUILD)/plugins
PROFILE := $(BUILD)/profile
ENVIRONMENT := $(BUILD)/environment
ENGINE := $(ENVIRONMENT)/bin/python
SYSTEM := /usr/bin/python3
QGIS_TESTS := $(BUILD)/qgis-tests

# A user's own data: make demo SCENE=scene.tif POLYGONS=polygons.gpkg CLASS_FIELD=class [REFERENCE=points.gpkg]
SCENE ?=
POLYGONS ?=
CLASS_FIELD ?=
REFERENCE ?=
OUT ?= $(BUILD)/demo

.PHONY: help
help:
	@echo "make demo            set up everything, map the sample scene, leave results in $(OUT)/"
	@echo "make demo SCENE=... POLYGONS=... CLASS_FIELD=... [REFERENCE=...]   the same for your own data"
	@echo "make test            set up everything, check style and types, run all tests"
	@echo "make lint types test-engine test-qgis   the parts of make test"
	@echo "make environment     only the compute environment, in $(ENVIRONMENT)/"
	@echo "make test-qgis344    run the tests in QGIS 3.44 (Debian 13 in a chroot; root, 3 GB)"
	@echo "make package         a zip for the plugin manager, in $(BUILD)/"
	@echo "make benchmark-real-scenes benchmark-few-labels benchmark-ablations benchmark-suggestions benchmark-backbones"
	@echo "     benchmark-spectral-diffusion benchmark-speed   measure, and write real_scenes.md, accuracy.md, ablations.md,"
	@echo "                     suggestions.md, backbones.md, spectral_diffusion.md and speed.md in docs/"
	@echo "make farmland WORDS=FOLDER   generate a scene of fields to measure on"
	@echo "make indian-pines WORDS=FOLDER fetch the scene Indian Pines to measure on"
	@echo "make screenshots votes   make the pictures of the user guide"
	@echo "make models sample   make the ready-made models and the sample scene anew"
	@echo "make clean           delete $(BUILD)/ with all environments and results"

.PHONY: system
system:
	@mkdir -p $(PLUGINS)
	@ln -sfn ../.. $(PLUGINS)/spectrafilm
	@sh tools/install_system.sh

$(ENVIRONMENT)/spectrafilm-environment.json: resources/requirements.txt | system
	$(SYSTEM) tools/setup_environment.py $(ENVIRONMENT) --plugins $(PLUGINS) --profile $(PROFILE)

.PHONY: environment
environment: system $(ENVIRONMENT)/spectrafilm-environment.json

.PHONY: demo
demo: environment
	$(SYSTEM) tools/demo.py --plugins $(PLUGINS) --profile $(PROFILE) --python $(ENGINE) --out "$(OUT)" \
	    --scene "$(SCENE)" --polygons "$(POLYGONS)" --class-field "$(CLASS_FIELD)" --reference "$(REFERENCE)"

$(ENVIRONMENT)/dev: tools/requirements-dev.txt $(ENVIRONMENT)/spectrafilm-environment.json
	$(ENGINE) -m pip install --quiet --requirement tools/requirements-dev.txt
	@touch $@

$(QGIS_TESTS)/ready: tools/requirements-qgis-tests.txt | system
	$(SYSTEM) -m venv --system-site-packages $(QGIS_TESTS)
	$(QGIS_TESTS)/bin/pip install --quiet --requirement tools/requirements-qgis-tests.txt
	@touch $@

.PHONY: lint types test-engine test-qgis test
lint: environment $(ENVIRONMENT)/dev
	$(ENGINE) -m ruff check .

types: environment $(ENVIRONMENT)/dev
	$(ENGINE) -m mypy

test-engine: environment $(ENVIRONMENT)/dev
	$(ENGINE) -m pytest tests/engine tests/tools tests/benchmarks

test-qgis: environment $(QGIS_TESTS)/ready
	QT_QPA_PLATFORM=offscreen SPECTRAFILM_PYTHON=$(CURDIR)/$(ENGINE) \
	    $(QGIS_TESTS)/bin/python -m pytest tests/plugin tests/algorithms tests/shell

# Both halves at once: neither keeps two cores busy by itself.
test: lint types
	$(MAKE) --jobs 2 test-engine test-qgis

.PHONY: test-qgis344
test-qgis344: environment
	sh tools/test_qgis344.sh $(BUILD)/trixie $(ENGINE)

.PHONY: package models sample screenshots
.PHONY: benchmark-real-scenes benchmark-few-labels benchmark-ablations benchmark-suggestions benchmark-backbones \
    benchmark-spectral-diffusion benchmark-speed farmland indian-pines votes
package:
	python3 tools/package.py $(BUILD)

# The desktop on a virtual screen (Debian's xvfb), with the results of the demo.
screenshots: demo
	QGIS_PLUGINPATH=$(CURDIR)/$(PLUGINS) QGIS_CUSTOM_CONFIG_PATH=$(CURDIR)/$(PROFILE) SPECTRAFILM_ROOT=$(CURDIR) \
	    xvfb-run -a -s "-screen 0 1400x900x24" qgis --noversioncheck --nologo --code tools/screenshots.py

# WORDS are further words for the command line, such as WORDS='--own FOLDER'.
BENCHMARK = PYTHONPATH=$(PLUGINS) $(ENGINE) -m spectrafilm.benchmarks
benchmark-real-scenes: environment
	$(BENCHMARK).real_scenes --python $(CURDIR)/$(ENGINE) $(WORDS)

benchmark-few-labels: environment $(ENVIRONMENT)/dev
	$(BENCHMARK).accuracy --python $(CURDIR)/$(ENGINE) $(WORDS)

# Scenes for --own.
farmland: environment $(ENVIRONMENT)/dev
	$(BENCHMARK).accuracy.farmland $(WORDS)

indian-pines: environment $(ENVIRONMENT)/dev
	$(BENCHMARK).accuracy.indian_pines $(WORDS)

# The picture of neighbours' votes in the user guide, of Indian Pines.
votes: environment $(ENVIRONMENT)/dev
	$(BENCHMARK).accuracy.votes

benchmark-ablations: environment $(ENVIRONMENT)/dev
	$(BENCHMARK).ablations --python $(CURDIR)/$(ENGINE) $(WORDS)

benchmark-suggestions: environment $(ENVIRONMENT)/dev
	$(BENCHMARK).accuracy.rounds --python $(CURDIR)/$(ENGINE) $(WORDS)

benchmark-backbones: environment $(ENVIRONMENT)/dev
	$(BENCHMARK).backbones --python $(CURDIR)/$(ENGINE) $(WORDS)

benchmark-spectral-diffusion: environment $(ENVIRONMENT)/dev
	$(BENCHMARK).spectral_diffusion --python $(CURDIR)/$(ENGINE) $(WORDS)

benchmark-speed: environment
	$(BENCHMARK).speed $(WORDS)

models: system
	# A fixed seed keeps the order of the elements in the files.
	QT_QPA_PLATFORM=offscreen QT_HASH_SEED=0 PYTHONPATH=$(PLUGINS) $(SYSTEM) -m spectrafilm.tools.build_models

sample: system
	PYTHONPATH=$(PLUGINS) $(SYSTEM) -m spectrafilm.tools.sample_scene resources/sample

.PHONY: clean
clean:
	rm -rf $(BUILD)
