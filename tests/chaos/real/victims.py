"""The processes of the demo stack that are struck, and the two ways of striking one."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.stack import SITES, Stack
from deploy.devcloud import cloud, infra, lifecycle, paths, process, servers
from deploy.embedded.servers import pid_file

RESTART = 1.0  # s from a kill to the start by whoever watches over the process


@dataclass(frozen=True, slots=True)
class Victim:
    """A process by its pid file, and what starts it again and waits until it serves."""

    name: str
    pid_file: Path
    start: Callable[[], object]

    def kill(self) -> None:
        """SIGKILL it with its helpers, and have it started again."""
        process.send(self._family(), signal.SIGKILL)
        time.sleep(RESTART)
        self.start()

    def pause(self, seconds: float) -> None:
        """Stop it in the middle of everything for some seconds."""
        pids = self._family()
        process.send(pids, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            process.send(pids, signal.SIGCONT)

    def _family(self) -> list[int]:
        running = process.find(self.pid_file)
        assert running is not None, f"{self.name} does not run: {self.pid_file}"
        return process.family(running)


def victims(stack: Stack) -> list[Victim]:
    """Return all that is struck: ours, what stands between, the broker, and services of a site and of the top."""
    middle = stack.middle
    layout = paths.Layout(stack.state)
    shared = infra.load(layout)
    assert shared is not None
    return [
        *(Victim(name, stack.pid_file(name), lambda name=name: stack.start(name)) for name in ("bridge", *SITES)),  # type: ignore[misc]
        Victim("nats", pid_file(middle.nats), lambda: middle.up(("nats",))),
        Victim("etcd", pid_file(middle.etcd), lambda: middle.up(("etcd",))),
        Victim("rabbitmq", shared.pid_file(infra.RABBITMQ), lambda: servers.ensure_running(shared)),
        *(_service(layout, *of) for of in SERVICES),
    ]


SERVICES = (
    ("paris", "nova-api"),
    ("paris", "nova-conductor"),
    ("oslo", "neutron"),
    ("top", "nova-conductor"),
)


def _service(layout: paths.Layout, name: str, service: str) -> Victim:
    found = cloud.load(name, layout)
    assert found is not None
    site = lifecycle.site_of(layout, name)
    file = found.pid_file(service)
    return Victim(f"{name}'s {service}", file, lambda: lifecycle.start_service(site, service))
