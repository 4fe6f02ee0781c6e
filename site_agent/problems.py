"""What does not work at the moment (logged once a minute) and what works in a lesser way; both are in SiteStatus."""

import logging
import time

LOG = logging.getLogger(__name__)

COMPLAINT_INTERVAL = 60.0  # s between two log lines about the same part


class Problems:
    """Troubles by the part of the agent that has them."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}
        self._next: dict[str, float] = {}
        self._lesser: dict[str, str] = {}

    def report(self, part: str, text: str) -> None:
        """A part does not get on; it may say so each time it tries."""
        if time.monotonic() >= self._next.get(part, 0.0):
            self._next[part] = time.monotonic() + COMPLAINT_INTERVAL
            LOG.warning("%s: %s", part, text)
        self._now[part] = text

    def solved(self, part: str) -> None:
        """A part works (again); costs nothing when it did before."""
        if self._now.pop(part, None) is not None:
            self._next.pop(part, None)
            LOG.info("%s: works again", part)

    def summary(self) -> str | None:
        """All troubles in one line; None if there is none."""
        return "; ".join(f"{part}: {text}" for part, text in sorted(self._now.items())) or None

    def degrade(self, part: str, text: str) -> None:
        """A part does in a lesser way what the site's release or the agent's rights do not allow; logged once."""
        if self._lesser.get(part) != text:
            self._lesser[part] = text
            LOG.info("%s: degraded: %s", part, text)

    def restored(self, part: str) -> None:
        """A part is not degraded (any more)."""
        if self._lesser.pop(part, None) is not None:
            LOG.info("%s: not degraded any more", part)

    def degraded(self) -> list[str]:
        """What works in a lesser way, a line each."""
        return [f"{part}: {text}" for part, text in sorted(self._lesser.items())]
