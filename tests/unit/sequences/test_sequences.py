"""Sequences are drawn the same every time, and what two clouds show is compared field by field."""

from pathlib import Path

from tests.sequences import calls, report
from tests.sequences.compare import Difference, Step, differences, visible
from tests.sequences.run import Result, keep, kept, left

SERVER = {
    "id": "5d3f",
    "status": "ACTIVE",
    "created": "2026-11-22T10:00:00Z",
    "image": {"id": "17ab", "links": []},
    "addresses": {"demo-net": [{"addr": "10.20.0.5"}]},
    "hostId": "c0ffee",
    "tenant_id": "a",
    "user_id": "b",
}


def test_a_seed_draws_the_same_sequences_whatever_the_count() -> None:
    assert calls.sequences(5, 7) == calls.sequences(20, 7)[:5] != calls.sequences(5, 8)


def test_sequences_differ_and_use_every_call() -> None:
    drawn = calls.sequences(300, 7)
    assert len(set(drawn)) == 300
    assert {call for sequence in drawn for call in sequence} == set(calls.BY_NAME)
    assert all(3 <= len(sequence) <= calls.LONGEST for sequence in drawn)


def test_a_call_left_out_is_not_drawn() -> None:
    drawn = calls.sequences(50, 7, frozenset({"shelve", "unshelve"}))
    assert not {"shelve", "unshelve"} & {call for sequence in drawn for call in sequence}


def test_what_two_clouds_must_name_otherwise_is_the_same() -> None:
    other = {**SERVER, "id": "9e1c", "created": "2026-11-22T10:00:09Z", "hostId": "beef", "tenant_id": "x"}
    other["image"], other["addresses"] = {"id": "b442"}, {"net": [{"addr": "10.0.0.9"}]}
    assert visible(SERVER, {"17ab": "IMAGE"}) == visible(other, {"b442": "IMAGE"})


def test_differences_name_the_call_and_the_field() -> None:
    plain = [Step("boot", 202, ""), Step("stop", 202, "", {"status": "SHUTOFF"})]
    cascade = [Step("boot", 202, ""), Step("stop", 409, "no", {"status": "ACTIVE"})]
    assert differences(plain, plain) == []
    assert differences(plain, cascade) == [
        Difference(1, "stop", "status code", 202, 409),
        Difference(1, "stop", "message", "", "no"),
        Difference(1, "stop", "status", "SHUTOFF", "ACTIVE"),
    ]


def test_a_run_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    drawn = [("stop", "start", "show"), ("lock", "stop", "unlock"), ("pause", "show", "unpause")]
    file = tmp_path / "results" / "7.jsonl"
    odd = Result(1, drawn[1], 2.0, (202, 202, 409, 202), [Difference(2, "stop", "status code", 409, 202)])
    for result in (Result(0, drawn[0], 1.0, (202, 202, 202, 200)), odd):
        keep(file, result)
    assert list(left(drawn, kept(file), again=False)) == [2] and list(left(drawn, kept(file), again=True)) == [1, 2]
    page = report.page(kept(file), 3, 7, "2026-11-22")
    assert "2 of 3 sequences" in page and "| stop | status code | 409 | 202 | 1: 1 |" in page
