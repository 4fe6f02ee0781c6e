"""Tenants at work while things break: boots and deletes without end, each remembered with what was asked."""

import contextlib
import threading
from dataclasses import dataclass

from keystoneauth1.exceptions import ClientException

from deploy.demo.stack import SITES, Stack
from tests.e2e.clouds import Tenant

KEPT = 4  # instances that live at a time; beyond that the oldest is deleted
PREFIX = "chaos"


@dataclass(slots=True)
class Asked:
    """One instance that nova-api accepted."""

    uuid: str
    name: str
    delete: bool = False


class Load(threading.Thread):
    """Boots in each zone in turn, and deletes; ``asked`` is complete once it has ended."""

    def __init__(self, stack: Stack, pace: float) -> None:
        """``pace``: s between two requests."""
        super().__init__(name="load", daemon=True)
        self.asked: list[Asked] = []
        self.refused = 0  # requests that nova-api itself did not take
        self._tenant = Tenant(stack)
        self._pace = pace
        self._over = threading.Event()

    def run(self) -> None:
        """Work until ``end``."""
        number = 0
        while not self._over.wait(self._pace):
            number += 1
            name = f"{PREFIX}-{number}"
            try:
                uuid = self._tenant.boot(name, f"az-{SITES[number % len(SITES)]}")
                self.asked.append(Asked(uuid, name))
                alive = [one for one in self.asked if not one.delete]
                if len(alive) > KEPT:
                    self._take_away(alive[number % 2])  # the oldest is ACTIVE, the next may still be booting
            except (AssertionError, ClientException):
                self.refused += 1

    def end(self) -> None:
        """Ask for nothing more."""
        self._over.set()
        self.join()

    def _take_away(self, one: Asked) -> None:
        one.delete = True  # before it is asked for: an answer may be lost
        self._tenant.connection.compute.delete(f"/servers/{one.uuid}")

    def clean(self) -> None:
        """Delete what is left."""
        for one in self.asked:
            with contextlib.suppress(ClientException):
                self._tenant.connection.compute.delete(f"/servers/{one.uuid}")
        self._tenant.wait_gone(*(one.uuid for one in self.asked))
