"""What MariaDB and RabbitMQ, which serve all clouds, have in common: ports, password, start."""

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.devcloud import ports, process
from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.paths import Layout

MARIADB, RABBITMQ, EPMD = "mariadb", "rabbitmq", "epmd"
START_TIMEOUT = 90.0
"""Seconds for MariaDB or RabbitMQ to accept connections; 3 and 7 on a quiet machine."""
STOP_GRACE = 30.0
"""Seconds from SIGTERM to SIGKILL."""
PORT_GRACE = 3.0
"""Seconds a port may stay taken: a killed program with threads is a zombie before its sockets are closed."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Infra:
    """Where the shared servers listen, and the password of their administrator (user `devcloud` in both)."""

    home: Path
    ports: dict[str, int]
    password: str

    def pid_file(self, service: str) -> Path:
        """Pid file of mariadb, rabbitmq or epmd."""
        return self.home / "pids" / f"{service}.pid"

    def log(self, service: str) -> Path:
        """Log file of the same."""
        return self.home / "log" / f"{service}.log"


def load(layout: Layout) -> Infra | None:
    """The shared servers as they were saved, or None if there are none yet."""
    try:
        saved = json.loads((layout.infra / "infra.json").read_text())
        return Infra(layout.infra, saved["ports"], saved["password"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError) as error:
        file = layout.infra / "infra.json"
        raise DevcloudError(
            f"{file} is damaged; end the processes in {file.parent}/pids and delete {layout.infra}"
        ) from error


def load_or_create(layout: Layout) -> Infra:
    """The same, made with free ports and a password if there are none yet."""
    known = load(layout)
    if known:
        return known
    chosen = ports.pick([MARIADB, RABBITMQ, "rabbitmq-dist", EPMD], ())
    infra = Infra(layout.infra, chosen, secrets.token_hex(12))
    layout.infra.mkdir(parents=True, exist_ok=True)
    file = layout.infra / "infra.json"
    file.touch(mode=0o600)
    content = asdict(infra)
    del content["home"]
    file.write_text(json.dumps(content, indent=2) + "\n")
    return infra


def system_environment(**extra: str) -> dict[str, str]:
    """A small environment for a program from apt; nothing of the caller's shell gets in."""
    return {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", **extra}


def launch(infra: Infra, service: str, command: list[str], env: Mapping[str, str]) -> None:
    """Starts one shared server and waits until its port answers; raises with the log's path if it ends before."""
    port, log = infra.ports[service], infra.log(service)
    process.stop([infra.pid_file(service)], STOP_GRACE)
    if not process.wait_until(lambda: ports.is_free(port), PORT_GRACE):
        raise DevcloudError(f"port {port} of {service} is taken by another program; stop that program (see `ss -ltnp`)")
    if not shutil.which(command[0], path=SYSTEM_PATH):
        raise DevcloudError(f"{command[0]} is not installed; run `python3 -m deploy.devcloud install`")
    infra.home.mkdir(parents=True, exist_ok=True)
    started = process.start(command, infra.pid_file(service), log, env, infra.home)
    process.wait_until(lambda: ports.answers(port) or not process.is_alive(started), START_TIMEOUT)
    if not (process.is_alive(started) and ports.answers(port)):
        raise DevcloudError(f"{service} did not start; see {log}{process.tail(log)}")
