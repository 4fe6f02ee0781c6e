"""The whole stack, brought up once for all end-to-end tests and ended with them unless CASCADE_E2E_KEEP is set."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo import steps
from deploy.demo.stack import SITES, TOP, Stack
from tests.e2e.clouds import Tenant, User


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Three real clouds, NATS, etcd, one bridge, two agents, both sites online in zones of their own.

    With CASCADE_E2E_ZONES=shared both are in one zone; most tests want zones of their own.
    """
    running = Stack.default()
    running.devcloud("up", TOP, "--role", "cascading")
    running.devcloud("up", *SITES)
    steps.serve(running, os.environ.get("CASCADE_E2E_ZONES", "each"))
    yield running
    if not os.environ.get("CASCADE_E2E_KEEP"):
        steps.down(running)


@pytest.fixture(scope="session")
def tenant(stack: Stack) -> Tenant:
    """An ordinary tenant above."""
    return Tenant(stack)


@pytest.fixture(scope="session")
def operator(stack: Stack) -> User:
    """The cascading cloud's admin."""
    return User(stack, TOP)


@pytest.fixture(scope="session")
def sites(stack: Stack) -> dict[str, User]:
    """The sites' own view, as the agent's user."""
    return {site: User(stack, f"{site}-agent") for site in SITES}


@pytest.fixture(autouse=True)
def everything_runs(stack: Stack) -> Iterator[None]:
    """Each test begins and ends with all daemons running, whatever it killed."""
    yield
    stack.middle.up()
    for name in ("bridge", *SITES):
        stack.start(name)


def tagged(site: User, uuid: str) -> list[dict[str, Any]]:
    """Return the servers of a site that carry an instance's identity."""
    found: list[dict[str, Any]] = site.get("compute", "/servers/detail", tags=f"cascade:{uuid}")["servers"]
    return found
