# make run      the whole system with its example, on a fresh machine too; Ctrl-C ends it
# make test     the whole suite (a part: make test TESTS=tests.cache); lint, types, cover: the other gates of CI
# make bench    side by side with nginx and HAProxy (a deploy under load: make bench-deploy); make news: the next release

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TESTS ?= tests
# Test processes at once. What one finds on the machine is never another's: see tests/ports.py.
JOBS ?= $(shell nproc)

# program:Debian package.  What some tests need and pip cannot install; without it they are skipped.
TEST_PROGRAMS := ab:apache2-utils certutil:libnss3-tools chromedriver:chromium-driver chromium:chromium curl:curl \
	h2load:nghttp2-client haproxy:haproxy logger:bsdutils nghttp:nghttp2-client node:nodejs npm:npm \
	redis-server:redis-server sslscan:sslscan wrk:wrk
# The same of what is only unpacked, into the virtual environment: installed, their daemons would start, and one would
# remove the other.
TEST_UNPACKED := rsyslogd:rsyslog,rsyslog-gnutls syslog-ng:syslog-ng-core
BENCH_PROGRAMS := h2load:nghttp2-client haproxy:haproxy nginx:nginx varnishd:varnish wrk:wrk

# "compat" puts the checkout itself on the path, the only editable form in which twistd finds twisted/plugins.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat

.PHONY: run test lint types cover bench bench-deploy bench-logs news clean

# exec: Ctrl-C and SIGTERM reach twistd itself, and make waits until it has drained.
run: $(VENV)/installed
	@exec $(BIN)/twistd -n scalekit-all --demo 2

test: $(VENV)/installed-test
	@.ci/provide $(TEST_PROGRAMS)
	@.ci/unpack $(VENV)/debian $(TEST_UNPACKED)
	$(BIN)/python -m twisted.trial --jobs=$(JOBS) $(TESTS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

cover: $(VENV)/installed-test
	@.ci/provide $(TEST_PROGRAMS)
	@.ci/unpack $(VENV)/debian $(TEST_UNPACKED)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m twisted.trial --jobs=$(JOBS) $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(VENV)/installed-test
	@.ci/provide $(BENCH_PROGRAMS)
	$(BIN)/python -m bench.run

bench-deploy: $(VENV)/installed-test
	@.ci/provide $(BENCH_PROGRAMS)
	$(BIN)/python -m bench.deploy

# The log, in fifteen minutes.
bench-logs: $(VENV)/installed-test
	@.ci/unpack $(VENV)/debian $(TEST_UNPACKED)
	$(BIN)/python -m bench.logs

news: $(VENV)/installed-dev
	$(BIN)/towncrier build --draft

# Leaves .venv alone.
clean:
	rm -rf build dist *.egg-info _trial_temp* .coverage* .hypothesis .mypy_cache .ruff_cache
	find scalekit tests twisted bench \( -name __pycache__ -o -name dropin.cache \) -prune -exec rm -rf {} +

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("scalekit needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# Installed again only when what they are made from has changed.
$(VENV)/installed: setup.cfg pyproject.toml | $(BIN)/pip
	$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-test: setup.cfg pyproject.toml | $(BIN)/pip
	$(INSTALL) --editable '.[test]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-dev: setup.cfg pyproject.toml | $(BIN)/pip
	$(INSTALL) --editable '.[test,dev]'
	@touch $@ $(VENV)/installed $(VENV)/installed-test
