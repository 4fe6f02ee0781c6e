"""What a site carries and nothing needs goes; everything else stays."""

import msgspec
import pytest

from bridge.core import flavor_digest
from bridge.core.collector import Above, Needs, images_to_look_up, taken_numbers, unneeded
from proto.messages import Holding, HoldingKind
from tests.fakes.messages import FLAVOR

NOW = 1_000_000.0
DAY = 86400.0
RECORD = flavor_digest.seen(flavor_digest.seen(None, FLAVOR), msgspec.structs.replace(FLAVOR, vcpus=9))
F = FLAVOR.flavor_id
ABOVE = Above({F: RECORD, "gone": flavor_digest.gone(RECORD, NOW)}, {"deleted"}, 7 * DAY)
OLD = Holding(HoldingKind.FLAVOR, "x", F, 1, unused_since=NOW)
IMAGE = Holding(HoldingKind.IMAGE, "i", "image", unused_since=NOW - 8 * DAY)
KEY = Holding(HoldingKind.KEYPAIR, "k", "aa:bb", unused_since=NOW - 601)
GROUP = Holding(HoldingKind.SERVER_GROUP, "g", "group", unused_since=NOW - 601)


def dropped(holding: Holding, needs: Needs | None = None) -> bool:
    return bool(unneeded([holding], ABOVE, needs or Needs(), NOW))


@pytest.mark.parametrize("holding", [OLD, IMAGE, KEY, GROUP])
def test_what_a_server_uses_or_an_operation_names_stays(holding: Holding) -> None:
    assert dropped(holding)
    assert not dropped(msgspec.structs.replace(holding, used=1))
    needs = Needs(frozenset({F}), frozenset({"image"}), frozenset({"aa:bb"}), frozenset({"group"}))
    assert not dropped(holding, needs)


def test_the_newest_version_of_a_flavor_above_stays_and_all_others_go() -> None:
    assert not dropped(msgspec.structs.replace(OLD, version=2))
    assert dropped(msgspec.structs.replace(OLD, version=3))  # of a time before etcd was lost
    assert dropped(msgspec.structs.replace(OLD, source="gone", version=2))
    assert dropped(msgspec.structs.replace(OLD, source="never heard of"))


def test_an_image_goes_when_it_is_deleted_above_or_long_unused() -> None:
    young = msgspec.structs.replace(IMAGE, unused_since=NOW - DAY)
    assert not dropped(young)
    assert dropped(msgspec.structs.replace(young, source="deleted"))


@pytest.mark.parametrize("holding", [KEY, GROUP])
def test_a_keypair_or_group_stays_some_minutes(holding: Holding) -> None:
    assert not dropped(msgspec.structs.replace(holding, unused_since=NOW - 599))


def test_only_images_that_might_go_are_looked_up_above() -> None:
    used = msgspec.structs.replace(IMAGE, source="used", used=2)
    needed = msgspec.structs.replace(IMAGE, source="needed")
    assert images_to_look_up([IMAGE, used, needed, OLD], Needs(images=frozenset({"needed"}))) == ["image"]


def test_numbers_a_site_has_beyond_our_count_are_never_given_again() -> None:
    beyond = msgspec.structs.replace(OLD, version=9, used=1)
    assert taken_numbers([OLD, beyond, msgspec.structs.replace(beyond, version=8)], ABOVE.versions) == {F: 9}
