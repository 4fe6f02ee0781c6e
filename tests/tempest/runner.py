"""Runs inside Tempest's environment, never imported: lists the tests, or runs those it is told to, one class at a time.

    python runner.py list               prints one test name a line
    python runner.py run                reads a JSON list of test names of one class a line from standard input, runs
                                        them, and answers with one JSON list of [name, outcome, seconds, reason] a line

Only the standard library and what Tempest brings; the options come from the file that $TEMPEST_CONFIG names.
"""

# ruff: noqa: N802, N815 (the names are unittest's)
import importlib
import json
import pkgutil
import sys
import time
import unittest

PACKAGE = "tempest.api.compute"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
REASON = 6000  # characters kept of what a failed test says: its end


def modules():
    """The names of all test modules."""
    package = importlib.import_module(PACKAGE)
    found = pkgutil.walk_packages(package.__path__, f"{PACKAGE}.")
    return sorted(module.name for module in found if module.name.rpartition(".")[2].startswith("test_"))


def tests_of(suite):
    """Every single test of a suite."""
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from tests_of(one)
        else:
            yield one


def name_of(test):
    """A test's name without the attributes that Tempest adds in brackets."""
    return test.id().partition("[")[0]


def load(module):
    """The tests of a module that are its own: a class imported from another module is run there."""
    suite = unittest.TestLoader().loadTestsFromModule(importlib.import_module(module))
    return [test for test in tests_of(suite) if type(test).__module__ == module]


class Result(unittest.TestResult):
    """Keeps the outcome of each test; what fails before a class's first test counts for all of its tests."""

    def __init__(self):
        super().__init__()
        self.rows, self.whole = {}, None
        self._began = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self._began = time.monotonic()

    def _row(self, test, outcome, reason=""):
        name = name_of(test)
        if " (" in name:  # setUpClass (a.b.Class)
            self.whole = self.whole or (outcome, f"{name}: {reason}"[-REASON:])
        elif self.rows.get(name, (PASSED,))[0] != FAILED:
            self.rows[name] = (outcome, round(time.monotonic() - self._began, 1), reason[-REASON:])

    def addSuccess(self, test):
        self._row(test, PASSED)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._row(test, SKIPPED, str(reason))

    def addError(self, test, err):
        self._row(test, FAILED, self._exc_info_to_string(err, test))

    addFailure = addError

    def addExpectedFailure(self, test, err):
        self._row(test, PASSED)

    def addUnexpectedSuccess(self, test):
        self._row(test, FAILED, "succeeds where it is expected to fail")


def run(names):
    """Runs tests of one class; [name, outcome, seconds, reason] of each."""
    module = names[0].rpartition(".")[0].rpartition(".")[0]
    result = Result()
    unittest.TestSuite([test for test in load(module) if name_of(test) in names]).run(result)
    whole, told = result.whole, result.rows
    missing = (FAILED, 0.0, "it was not run")
    if whole:
        missing = (whole[0], 0.0, whole[1])
    if whole and told:  # the class failed after its tests
        last = max(told, key=list(told).index)
        told[last] = (whole[0], told[last][1], whole[1]) if told[last][0] == PASSED else told[last]
    return [[name, *told.get(name, missing)] for name in names]


def main():
    """See the module."""
    out, sys.stdout = sys.stdout, sys.stderr
    if sys.argv[1:] == ["list"]:
        for module in modules():
            for test in load(module):
                print(name_of(test), file=out)
        return
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
