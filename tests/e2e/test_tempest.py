"""The tests of OpenStack's own suite that tests/tempest/ci.txt names, against the cascading cloud.

`make tempest` runs all of them.
They are those that boot servers and touch each verb once; all of them at once take at most 6 minutes on two cores.
"""

from deploy.demo.stack import Stack
from tests.tempest import CI, results, shards
from tests.tempest.targets import CASCADE, prepare

WORKERS = 3
MINUTES = 15.0  # then what is left fails as not run


def test_the_conformance_suite_passes(stack: Stack) -> None:
    place = prepare(stack, CASCADE, "ci")
    place.forget()
    names = results.read_names(CI.read_text())
    assert not set(names) - set(shards.listed(place)), "ci.txt names tests that Tempest does not have"
    shards.run(place, names, WORKERS, MINUTES)
    known = place.results()
    failed = {one.name: one.cause for one in known.values() if one.outcome != results.PASSED}
    assert not failed, failed
    assert not results.pending(names, known), f"not run within {MINUTES:.0f} min"
