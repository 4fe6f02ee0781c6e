"""The program that runs inside Tempest's environment: one answer for each test, whatever its class does."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tempest import runner

MODULE = """
import unittest

class Works(unittest.TestCase):
    def test_passes(self): pass
    def test_fails(self): self.fail("why not")
    def test_skips(self): self.skipTest("no such feature")
    def test_cleans_badly(self): self.addCleanup(self.fail, "cannot clean")

class NeverBegins(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise ValueError("no project")
    def test_one(self): pass
    def test_two(self): pass

class Skipped(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("no volumes")
    def test_one(self): pass

class EndsBadly(unittest.TestCase):
    @classmethod
    def tearDownClass(cls): raise ValueError("cannot delete")
    def test_one(self): pass
    def test_two(self): pass
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of tests that can be imported."""
    (tmp_path / "test_sample.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("test_sample", None)


def outcomes(*names: str) -> dict[str, tuple[str, str]]:
    rows = runner.run([f"test_sample.{name}" for name in names])
    return {name.removeprefix("test_sample."): (outcome, reason) for name, outcome, _, reason in rows}


def test_each_test_has_its_outcome() -> None:
    names = ["Works.test_passes", "Works.test_fails", "Works.test_skips", "Works.test_cleans_badly"]
    found = outcomes(*names)
    assert [found[name][0] for name in names] == ["passed", "failed", "skipped", "failed"]
    assert "why not" in found["Works.test_fails"][1] and found["Works.test_skips"][1] == "no such feature"


def test_only_what_is_asked_for_runs() -> None:
    assert list(outcomes("Works.test_passes")) == ["Works.test_passes"]


@pytest.mark.parametrize(("name", "outcome", "why"), [
    ("NeverBegins", "failed", "no project"), ("Skipped", "skipped", "no volumes"),
])  # fmt: skip
def test_what_keeps_a_class_from_beginning_counts_for_all_its_tests(name: str, outcome: str, why: str) -> None:
    tests = [f"{name}.test_one", *([f"{name}.test_two"] if name == "NeverBegins" else [])]
    assert all(got == outcome and why in reason for got, reason in outcomes(*tests).values())


def test_a_class_that_ends_badly_fails_its_last_test() -> None:
    found = outcomes("EndsBadly.test_one", "EndsBadly.test_two")
    assert found["EndsBadly.test_one"][0] == "passed" and found["EndsBadly.test_two"][0] == "failed"


def test_all_tests_of_a_module_are_found() -> None:
    assert len(runner.load("test_sample")) == 9
