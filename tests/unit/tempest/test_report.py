"""The page of a run, and the tables under it."""

from collections import Counter

from tests.tempest import actions, leftovers, report
from tests.tempest.actions import Deeds, Row
from tests.tempest.leftovers import Left
from tests.tempest.results import FAILED, PASSED, SKIPPED, Result

A, B, C = (f"tempest.api.compute.m.Class.test_{name}" for name in "abc")
KNOWN = {A: Result(A, PASSED), B: Result(B, FAILED, 1.0, "x\nValueError: no"), C: Result(C, SKIPPED)}
PLAIN = {A: PASSED, B: PASSED, C: PASSED}


def test_the_page_has_a_reason_for_each_difference() -> None:
    text = report.page(KNOWN, PLAIN, 5, [("m.Class.test_c", "needs volumes")], "2026-01-01, 2 cores")
    assert "| cascading cloud | 1 | 1 | 1 | 2 |" in text and "1 of the 3 tests" in text
    assert f"| `m.Class.test_b` | failed | passed | {report.NO_REASON} |" in text
    assert "| `m.Class.test_c` | skipped | passed | needs volumes |" in text
    assert "test_a" not in text


def test_the_summary_names_what_the_plain_cloud_says() -> None:
    lines = report.summary(KNOWN, {A: PASSED, B: FAILED, C: SKIPPED}, 5).splitlines()
    assert lines[0] == "1 passed, 1 failed, 1 skipped, 2 not run yet"
    assert lines[1:] == [f"failed, failed on a plain cloud: {B}", "    ValueError: no"]


def test_actions_that_differ_are_shown_with_an_example() -> None:
    deeds = [
        Deeds("one", "1", Counter(create=1, stop=2), Counter(create=1, stop=2)),
        Deeds("two", "2", Counter(create=1, lock=1), Counter(create=1)),
        Deeds("never placed", "3", Counter(create=1), None),
    ]
    assert actions.compare(deeds) == [
        Row("create", 2, 2, 0, ""),
        Row("lock", 1, 0, 1, "two (2)"),
        Row("stop", 2, 2, 0, ""),
    ]
    assert actions.table(deeds).endswith("2 instances had a server of their name in a site, 1 had none: never placed.")


def test_what_is_left_has_a_reason_or_is_told() -> None:
    networks = frozenset({"n"})
    assert leftovers.why("image", {"name": "cirros"}, networks) == "of the demo"
    assert leftovers.why("image", {"name": "cirros", "cascade_image_id": "i"}, networks).startswith("a carried image")
    assert leftovers.why("port", {"name": "", "device_owner": "network:dhcp", "network_id": "n"}, networks)
    assert not leftovers.why("port", {"name": "", "device_owner": "network:dhcp", "network_id": "x"}, networks)
    assert not leftovers.why("server", {"name": "tempest-server-1"}, networks)
    text = leftovers.table([Left("paris", "server", "b", ""), Left("paris", "server", "a", "")])
    assert text.endswith("| paris | 2 server(s) | **left** | a, b |")
