"""How long a piece of work took, and how much of that it waited for OpenStack: the rest is our own time."""

import contextlib
import contextvars
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Account:
    """Seconds of one piece of work; ``waited`` is the time in which at least one of its requests was out."""

    began: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    requests: int = 0  # out now
    out_since: float = 0.0

    @property
    def own(self) -> float:
        """Seconds until now that were not spent waiting for OpenStack."""
        return max(0.0, time.monotonic() - self.began - self.waited)


_current: contextvars.ContextVar[Account | None] = contextvars.ContextVar("waits", default=None)


@contextlib.contextmanager
def account() -> Iterator[Account]:
    """Open the account of the work in the block; tasks started inside book on it too."""
    opened = Account()
    token = _current.set(opened)
    try:
        yield opened
    finally:
        _current.reset(token)


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Book the block as waiting for OpenStack; edges use it around a request."""
    opened = _current.get()
    if opened is None:
        yield
        return
    if opened.requests == 0:
        opened.out_since = time.monotonic()
    opened.requests += 1
    try:
        yield
    finally:
        opened.requests -= 1
        if opened.requests == 0:
            opened.waited += time.monotonic() - opened.out_since
