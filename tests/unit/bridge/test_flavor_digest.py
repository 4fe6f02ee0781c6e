"""A flavor is another one when a server would get something else from it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.flavor_digest import digest, numbered, seen
from tests.fakes.messages import FLAVOR

CONTENT = {"vcpus": 3, "ram": 1, "disk": 1, "ephemeral": 1, "swap": 1, "extra_specs": {"hw:cpu_policy": "dedicated"}}


@pytest.mark.parametrize("field", CONTENT)
def test_content_changes_it(field: str) -> None:
    assert digest(msgspec.structs.replace(FLAVOR, **{field: CONTENT[field]})) != digest(FLAVOR)


@pytest.mark.parametrize("field", ["name", "flavor_id"])
def test_names_do_not(field: str) -> None:
    assert digest(msgspec.structs.replace(FLAVOR, **{field: "other"})) == digest(FLAVOR)


def test_the_version_does_not() -> None:
    assert digest(msgspec.structs.replace(FLAVOR, version=9)) == digest(FLAVOR)


@given(st.permutations([("a", "1"), ("b", "2"), ("c", "3")]))
def test_the_order_of_extra_specs_does_not(specs: list[tuple[str, str]]) -> None:
    expected = digest(msgspec.structs.replace(FLAVOR, extra_specs={"a": "1", "b": "2", "c": "3"}))
    assert digest(msgspec.structs.replace(FLAVOR, extra_specs=dict(specs))) == expected


def test_moving_an_amount_from_one_field_to_another_changes_it() -> None:
    one = msgspec.structs.replace(FLAVOR, disk=1, ephemeral=0)
    two = msgspec.structs.replace(FLAVOR, disk=0, ephemeral=1)
    assert digest(one) != digest(two)


def test_it_is_the_same_in_every_release() -> None:
    """Stored in etcd: another digest would make a new version of every flavor."""
    assert digest(FLAVOR) == "0a05ee96e9bde1c1593185547068f9a2b0f494d5496f69c8b6e16d5aaff5964b"


def test_what_a_boot_brought_before_the_look_above_keeps_its_number() -> None:
    larger = msgspec.structs.replace(FLAVOR, vcpus=8)
    first = seen(None, FLAVOR)
    record, number = numbered(first, digest(larger))
    following = seen(record, larger)
    assert (first.version, number, following.version) == (1, 2, 2)
    assert numbered(following, digest(FLAVOR)) == (following, 1)  # a boot that was under way during the change


def test_a_content_that_comes_back_counts_up() -> None:
    larger = msgspec.structs.replace(FLAVOR, vcpus=8)
    assert seen(seen(seen(None, FLAVOR), larger), FLAVOR).version == 3
