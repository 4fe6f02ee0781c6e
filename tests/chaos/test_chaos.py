"""A share of what `make chaos` does, for every run of the tests."""

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.chaos.points import crash_everywhere
from tests.chaos.schedules import EVERYTHING, PLAIN, Steps, Told, play
from tests.chaos.stories import STORIES, Story
from tests.conftest import examples

STRIDE = 25  # of the other stories' points


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name.replace(" ", "_"))
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_nothing_comes_of_a_crash(story: Story) -> None:
    crashes = crash_everywhere(story, stride=STRIDE)
    assert crashes and not [str(crash) for crash in crashes if crash.found]


@settings(max_examples=examples(20))
@given(PLAIN, st.integers(0, 2**16))
def test_no_instance_is_lost_doubled_or_deleted_unasked(schedule: Steps, seed: int) -> None:
    _play(schedule, seed)


@settings(max_examples=examples(20))
@given(EVERYTHING, st.integers(0, 2**16))
def test_backups_and_clocks_do_no_harm(schedule: Steps, seed: int) -> None:
    _play(schedule, seed)


def _play(schedule: Steps, seed: int) -> None:
    told = Told()
    try:
        play(schedule, seed, told)
    finally:
        note("\n".join(told.lines))
