"""What Tempest said: recorded, read again after an interruption, compared with the plain cloud."""

from tests.tempest import results
from tests.tempest.results import FAILED, NOT_RUN, PASSED, SKIPPED, Result

A, B, C = "pack.module.ClassA.test_one", "pack.module.ClassA.test_two", "pack.other.ClassB.test_three"


def known(**outcomes: str) -> dict[str, Result]:
    names = {"a": A, "b": B, "c": C}
    return {names[key]: Result(names[key], outcome) for key, outcome in outcomes.items()}


def test_what_was_recorded_is_read_again() -> None:
    rows = [(A, PASSED, 1.5, ""), (B, FAILED, 2.0, "Traceback\nValueError: no\n")]
    found = results.read(results.record(rows) + results.record([(C, SKIPPED, 0.0, "no Cinder")]))
    assert list(found) == [A, B, C]
    assert found[A] == Result(A, PASSED, 1.5) and found[B].cause == "ValueError: no"
    assert results.count(found.values()) == {PASSED: 1, FAILED: 1, SKIPPED: 1}


def test_a_later_result_of_a_test_counts() -> None:
    text = results.record([(A, FAILED, 1.0, "x")]) + results.record([(A, PASSED, 1.0, "")])
    assert results.read(text)[A].outcome == PASSED


def test_a_torn_line_leaves_its_class_to_be_run() -> None:
    text = results.record([(A, PASSED, 1.0, ""), (B, PASSED, 1.0, "")]) + results.record([(C, PASSED, 1.0, "")])[:-9]
    assert results.pending([A, B, C], results.read(text)) == [C]


def test_tests_of_a_class_stay_together() -> None:
    assert results.by_class([A, C, B]) == [[A, B], [C]]


def test_a_regular_expression_chooses() -> None:
    assert results.selected([A, B, C], "ClassA.*two|ClassB") == [B, C]
    assert results.selected([A, B, C], "") == [A, B, C]


def test_what_the_plain_cloud_passes_is_a_difference() -> None:
    baseline = {A: PASSED, B: FAILED}
    found = results.differences(known(a=SKIPPED, b=FAILED, c=FAILED), baseline)
    assert [(one.result.name, one.baseline) for one in found] == [(A, PASSED), (B, FAILED), (C, NOT_RUN)]
    assert not results.differences(known(a=PASSED, b=SKIPPED), baseline)


def test_the_baseline_is_a_list_one_can_read() -> None:
    text = results.write_baseline(known(b=FAILED, a=PASSED))
    assert text == f"passed  {A}\nfailed  {B}\n"
    assert results.read_baseline("# when\n" + text) == {A: PASSED, B: FAILED}


def test_comments_are_no_names() -> None:
    assert results.read_names(f"# a list\n\n{A}  # why\n{B}\n") == [A, B]


def test_the_first_reason_that_fits_is_given() -> None:
    reasons = results.read_reasons("# pattern: reason\nmodule.*.test_one: needs volumes: later\nmodule.*: another\n")
    assert results.reason_of("module.ClassA.test_one", reasons) == "needs volumes: later"
    assert results.reason_of("module.ClassA.test_two", reasons) == "another"
    assert results.reason_of("other.ClassB.test_three", reasons) == ""
