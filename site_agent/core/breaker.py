"""When one API of the site is not asked for a while: a breaker, as values.

Closed: everything is asked. After TOLERATED answers in a row that say nothing but "not now" (no answer, 429, 502, 503,
504) it opens: nothing is asked for a while, the longer the more often that was in vain. Then one request at a time is
let through, and the first real answer closes it.
"""

from dataclasses import dataclass, replace

from proto.errors import Unavailable

TOLERATED = 5  # such answers in a row
FIRST_WAIT = 5.0  # s
LONGEST_WAIT = 60.0  # s, unless the site itself asks for more
LEAST_OBEYED, MOST_OBEYED = 1.0, 600.0  # s of Retry-After
TRIAL_LIMIT = 90.0  # s; a trial that takes longer does not keep the next one waiting
TRIAL_PAUSE = 2.0  # s until somebody who met a trial under way asks again


class Overloaded(Unavailable):
    """The API gave no answer, or one that says nothing of the request: it cannot be asked now.

    ``asked_for``: s until it may be asked again by its own word; None = it did not say.
    """

    def __init__(self, message: str, asked_for: float | None = None) -> None:
        super().__init__(message) if asked_for is None else super().__init__(message, asked_for)
        self.asked_for = asked_for


class NotAsked(Unavailable):
    """The breaker is open: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one API; times are monotonic s."""

    failures: int = 0  # in a row
    wait: float = 0.0  # s it was opened for last
    until: float = 0.0  # nothing is asked before; 0 = closed
    trial_since: float = 0.0  # a trial is under way; 0 = none
    since: float = 0.0  # first of those failures
    why: str = ""

    @property
    def closed(self) -> bool:
        """Whether everything is asked."""
        return not self.until

    def shown(self, now: float) -> str:
        """Say in a few words how it is; empty while it is closed."""
        if self.closed:
            return ""
        left = self.until - now
        state = f"not asked for {left:.0f} s" if left > 0 else "tried one at a time"
        return f"{state}, failing for {now - self.since:.0f} s: {self.why}"


def asked(breaker: Breaker, now: float) -> Breaker:
    """Return the state with one request under way; NotAsked, with when to come again, if none may go."""
    if breaker.closed:
        return breaker
    if now < breaker.until:
        raise NotAsked(breaker.shown(now), breaker.until - now)
    if breaker.trial_since and now - breaker.trial_since < TRIAL_LIMIT:
        raise NotAsked(breaker.shown(now), TRIAL_PAUSE)
    return replace(breaker, trial_since=now)


def answered(_breaker: Breaker) -> Breaker:
    """Return the state after a real answer, whatever it said."""
    return Breaker()


def failed(breaker: Breaker, now: float, why: str, retry_after: float | None) -> Breaker:
    """Return the state after no answer, or "not now"; ``retry_after``: s that the site asked for, None = it did not.

    A site that says when to come again is obeyed at its first word.
    """
    counted = replace(breaker, failures=breaker.failures + 1, why=why, since=breaker.since or now, trial_since=0.0)
    if breaker.closed and retry_after is None and counted.failures < TOLERATED:
        return counted
    if now < breaker.until:  # one that was sent before it opened
        return replace(counted, trial_since=breaker.trial_since)
    wait = min(LONGEST_WAIT, 2 * breaker.wait) if breaker.wait else FIRST_WAIT
    if retry_after is not None:
        wait = min(max(retry_after, LEAST_OBEYED), MOST_OBEYED)
    return replace(counted, wait=wait, until=now + wait)


def given_up(breaker: Breaker) -> Breaker:
    """Return the state after a request that ended without telling anything of the API: its trial was none."""
    return replace(breaker, trial_since=0.0)
