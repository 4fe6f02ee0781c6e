"""Streams and durables as data."""

from proto import streams, subjects
from proto.operations import Lane


def test_a_site_has_its_streams_on_one_shard() -> None:
    number = subjects.shard("paris")
    names = [stream.name for stream in streams.of_site("paris")]
    assert names == [f"INTAKE_{number}", f"COMMANDS_{number}", f"EVENTS_{number}", "DEAD"]


def test_work_queues_keep_everything_and_dead_letters_do_not_stop_work() -> None:
    *work, dead = streams.of_site("paris")
    assert all(stream.work_queue for stream in work)
    assert not dead.work_queue


def test_no_two_streams_take_the_same_subject() -> None:
    every = {
        subject for site in map(str, range(200)) for stream in streams.of_site(site) for subject in stream.subjects
    }
    assert len(every) == 3 * subjects.SHARDS + 1


def test_a_bridges_durables_can_be_found_by_their_beginning_and_no_other_sites() -> None:
    prefix = streams.bridge_durable_prefix("paris")
    for durable in (streams.intake_durable("paris", 7), streams.events_durable("paris", 7)):
        assert durable.name == f"{prefix}7"
    assert not streams.intake_durable("pari", 7).name.startswith(prefix)
    assert not streams.agent_durable("paris", Lane.URGENT).name.startswith(prefix)


def test_taking_a_site_over_touches_no_site_whose_name_begins_alike() -> None:
    """`paris` and `paris-2` are even in the same shard."""
    prefix = streams.bridge_durable_prefix("paris")
    assert streams.events("paris") == streams.events("paris-2")
    assert not streams.intake_durable("paris-2", 7).name.startswith(prefix)
    assert not streams.intake_durable("paris-2-3", 7).name.startswith(prefix)


def test_a_durable_filters_only_its_own_site() -> None:
    assert streams.intake_durable("paris", 1).filter_subject == subjects.intake_filter("paris")
    assert streams.events_durable("paris", 1).filter_subject == subjects.event_filter("paris")
    assert streams.agent_durable("paris", Lane.URGENT).filter_subject.endswith(".paris.urgent.>")


def test_progress_is_told_well_within_the_ack_wait_and_the_window_within_the_pending_limit() -> None:
    assert streams.PROGRESS_INTERVAL * 3 <= streams.ACK_WAIT_COMMANDS
    assert streams.SITE_WINDOW * 10 < streams.MAX_ACK_PENDING
