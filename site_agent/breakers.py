"""The breakers of a site's APIs: every request goes through one, and what it says of its API is counted."""

import contextlib
import logging
import time
from collections.abc import Iterator

from site_agent.core import breaker
from site_agent.core.breaker import Breaker, Overloaded

LOG = logging.getLogger(__name__)

SLOW = 10.0  # s; operators are told of a request that takes longer
SLOW_FOR = 60.0  # s it is told


class Breakers:
    """One for each API, by its name. Only touched from the event loop."""

    def __init__(self) -> None:
        self._states: dict[str, Breaker] = {}
        self._slow: dict[str, tuple[float, float]] = {}  # API -> s the last slow answer took, and when (monotonic s)

    @contextlib.contextmanager
    def asking(self, service: str, *, bulk: bool = False) -> Iterator[None]:
        """Send one request in the block; NotAsked if the API is not to be asked now.

        Overloaded raised in the block counts against the API, any other error of it and its success for it. ``bulk``:
        a file, whose transfer may take long.
        """
        began = time.monotonic()
        self._set(service, breaker.asked(self.state(service), began))
        try:
            yield
        except Overloaded as error:
            self._set(service, breaker.failed(self.state(service), time.monotonic(), str(error), error.asked_for))
            raise
        except Exception:
            self._set(service, breaker.answered(self.state(service)))
            raise
        except BaseException:  # cancelled: nobody waits for what the API says any more
            self._set(service, breaker.given_up(self.state(service)))
            raise
        else:
            self._set(service, breaker.answered(self.state(service)))
        finally:
            if not bulk:
                self._note(service, time.monotonic() - began)

    def _note(self, service: str, spent: float) -> None:
        if spent >= SLOW:
            self._slow[service] = (spent, time.monotonic())

    def slow(self) -> list[str]:
        """Return what is said of each that was slow lately, or is still."""
        now = time.monotonic()
        return [
            f"{service} API: a request took {spent:.0f} s"
            for service, (spent, at) in sorted(self._slow.items())
            if now - at < SLOW_FOR
        ]

    def state(self, service: str) -> Breaker:
        """Return how one is."""
        return self._states.get(service, Breaker())

    def shown(self) -> dict[str, str]:
        """Return what is said of each that is not closed."""
        now = time.monotonic()
        return {service: text for service, state in sorted(self._states.items()) if (text := state.shown(now))}

    def _set(self, service: str, state: Breaker) -> None:
        before = self.state(service)
        self._states[service] = state
        if before.closed and not state.closed:
            LOG.warning("the site's %s API is %s", service, state.shown(time.monotonic()))
        elif state.closed and not before.closed:
            LOG.info("the site's %s API answers again", service)
