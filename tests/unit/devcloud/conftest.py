"""A cloud of each role that exists only on paper."""

from pathlib import Path

import pytest

from deploy.devcloud.cloud import CASCADING, MEMBER, Cloud, Options, create
from deploy.devcloud.config import Site
from deploy.devcloud.infra import EPMD, MARIADB, RABBITMQ, Infra
from deploy.devcloud.paths import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty state directory."""
    return Layout(tmp_path)


@pytest.fixture
def shared(layout: Layout) -> Infra:
    """Shared servers that do not run."""
    return Infra(layout.infra, {MARIADB: 20001, RABBITMQ: 20002, EPMD: 20003}, "database-password")


@pytest.fixture
def paris(layout: Layout, shared: Infra) -> Site:
    """A site with two computes."""
    return Site(create("paris", Options(computes=2), layout, ()), shared, layout)


@pytest.fixture
def top(layout: Layout, shared: Infra) -> Site:
    """A cascading cloud."""
    cloud: Cloud = create("top", Options(role=CASCADING), layout, ())
    return Site(cloud, shared, layout)


@pytest.fixture
def zurich(layout: Layout, shared: Infra) -> Site:
    """A site of an older release whose agent is no admin."""
    return Site(create("zurich", Options(release="zed", agent_role=MEMBER), layout, ()), shared, layout)
