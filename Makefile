# Two commands for a stranger: make demo, make test. The rest is for those who work on it.
AZ ?= each
ARGS ?=
REGEX ?=
N ?= 300
PYTEST = .venv/bin/python -m pytest

.PHONY: demo demo-down demo-status setup check test e2e e2e-full waves sequences bench bench-image rewrite lock docs \
	tempest tempest-baseline tempest-ci chaos chaos-real mutants

demo: setup
	.venv/bin/python -m deploy.demo up --availability-zone $(AZ)

demo-down:
	@if [ -x .venv/bin/python ]; then .venv/bin/python -m deploy.demo down; else echo "nothing is installed here"; fi

demo-status: setup
	.venv/bin/python -m deploy.demo status

setup:
	@./deploy/setup.sh

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# Most integration tests wait for servers, so four workers fill two cores; a file's servers stay in one worker.
test: setup
	CASCADE_REQUIRE_SERVICES=1 $(PYTEST) -n 4 --dist loadfile tests/unit tests/contract tests/scenario tests/chaos tests/integration

e2e: setup
	$(PYTEST) tests/e2e

bench: setup
	.venv/bin/python -m tests.bench

bench-image: setup
	.venv/bin/python -m tests.bench.image_transfer --mib 1024

rewrite: setup
	CASCADE_REWRITE=1 $(PYTEST) tests/scenario tests/contract

# After a change of dependencies in pyproject.toml. Needs uv.
lock:
	uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --quiet --output-file requirements.lock

docs: setup
	.venv/bin/python -m deploy.docs

# The end-to-end suite at full size: ten boots for each moment of a crash.
e2e-full: setup
	CASCADE_E2E_BOOTS=10 $(PYTEST) tests/e2e

# Fifty servers of one request, in one availability zone with two sites, through boot, resize, snapshot and delete.
waves: setup
	CASCADE_E2E_ZONES=shared $(PYTEST) -s tests/e2e/test_waves.py

# OpenStack's own suite. REGEX=... runs only tests whose name it finds, ARGS="--again" anew what is recorded already.
tempest: setup
	.venv/bin/python -m tests.tempest run --regex '$(REGEX)' $(ARGS)

tempest-baseline: setup
	.venv/bin/python -m tests.tempest baseline --regex '$(REGEX)' $(ARGS)

tempest-ci: setup
	$(PYTEST) tests/e2e/test_tempest.py

# The proof on in-memory clouds: every crash point, and N random schedules of operations and faults.
chaos: setup
	.venv/bin/python -m tests.chaos --schedules $(N) $(ARGS)

# Small mistakes planted in the guards: each must be noticed.
mutants: setup
	.venv/bin/python -m tests.mutants $(ARGS)

# The proof on real clouds at full size: 200 strikes, and a link cut for ten minutes (about 90 minutes).
chaos-real: setup
	CASCADE_E2E_STRIKES=200 CASCADE_E2E_CUT=600 $(PYTEST) -s tests/e2e/test_chaos_real.py tests/e2e/test_cut.py

# 300 random sequences of API calls against a plain Nova and through the cascade, on the running demo (about two hours;
# cut short, it goes on where it was). Prints docs/sequences.md.
sequences: setup
	@.venv/bin/python -m tests.sequences
