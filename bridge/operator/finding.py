"""One line of `cascade check`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

COLUMNS = ("check", "result", "found", "mend")


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # works, but not as well or as safely as it could
    WRONG = "wrong"  # must be mended
    UNSEEN = "unseen"  # cannot be seen from outside: look yourself


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and the command or setting that mends it."""

    check: str
    verdict: Verdict
    found: str
    mend: str | None = None

    def row(self) -> dict[str, Any]:
        """Return it as a line of a table."""
        return {"check": self.check, "result": self.verdict.value, "found": self.found, "mend": self.mend}


def ok(check: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Verdict.OK, found)


def warning(check: str, found: str, mend: str) -> Finding:
    """Return that something should be better."""
    return Finding(check, Verdict.WARNING, found, mend)


def wrong(check: str, found: str, mend: str) -> Finding:
    """Return that something must be mended."""
    return Finding(check, Verdict.WRONG, found, mend)


def unseen(check: str, found: str, mend: str) -> Finding:
    """Return that only a look at the cloud's configuration can tell."""
    return Finding(check, Verdict.UNSEEN, found, mend)
