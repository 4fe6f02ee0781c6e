"""MariaDB and RabbitMQ for all clouds: ports, passwords, start and stop."""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.devcloud import ports, process
from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.paths import Layout
from deploy.devcloud.progress import step

MARIADB, RABBITMQ, EPMD = "mariadb", "rabbitmq", "epmd"
START_TIMEOUT = 90.0
"""Seconds for MariaDB or RabbitMQ to accept connections; 3 and 7 on a quiet machine."""
STOP_GRACE = 30.0
"""Seconds from SIGTERM to SIGKILL."""
RABBITMQ_BIN = Path("/usr/lib/rabbitmq/bin")
"""Debian's wrapper in /usr/sbin would do `su rabbitmq`; these are the programs behind it."""
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
    except OSError:
        return None
    return Infra(layout.infra, saved["ports"], saved["password"])


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


def ensure_running(infra: Infra) -> None:
    """Starts what does not run and waits until both servers answer. May be repeated."""
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(ensure_mariadb, infra), pool.submit(ensure_rabbitmq, infra)]:
            done.result()


def ensure_mariadb(infra: Infra) -> None:
    """Starts MariaDB; its data directory and administrator are made the first time."""
    if process.find(infra.pid_file(MARIADB)):
        return
    with step("mariadb started"):
        home = infra.home / MARIADB
        if not (home / "mysql").is_dir():
            initialize_mariadb(infra, home)
        launch(infra, MARIADB, mariadb_command(infra, home), system_environment())


def initialize_mariadb(infra: Infra, home: Path) -> None:
    """Makes the data directory, and the SQL file that makes the administrator at every start."""
    home.mkdir(parents=True, exist_ok=True)
    command = [
        "mariadb-install-db", "--no-defaults", f"--datadir={home}", "--skip-test-db", "--skip-name-resolve",
        "--auth-root-authentication-method=normal", *root_user(),
    ]  # fmt: skip
    process.run(command, infra.log("mariadb-install"), system_environment(), infra.home, "mariadb-install-db")
    user = f"'devcloud'@'{ports.LOOPBACK}'"
    statements = [
        f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{infra.password}'",
        f"GRANT ALL ON *.* TO {user} WITH GRANT OPTION",
        "DELETE FROM mysql.global_priv WHERE user IN ('root', '')",
        "FLUSH PRIVILEGES",
    ]
    file = home / "init.sql"
    file.touch(mode=0o600)
    file.write_text("".join(f"{statement};\n" for statement in statements))


def root_user() -> list[str]:
    """MariaDB refuses to run as root unless told to."""
    return ["--user=root"] if os.geteuid() == 0 else []


def mariadb_command(infra: Infra, home: Path) -> list[str]:
    """How mariadbd is called. Speed before safety: a power cut may lose data.

    The socket is an abstract one (`@`): it needs no file, whose path could be longer than the 107 bytes Linux allows.
    """
    port = infra.ports[MARIADB]
    return [
        "mariadbd", "--no-defaults", f"--datadir={home}", f"--port={port}", f"--bind-address={ports.LOOPBACK}",
        f"--socket=@cascade-devcloud-{port}", f"--pid-file={home}/mariadbd.pid", f"--init-file={home}/init.sql",
        "--skip-name-resolve", "--innodb-flush-method=nosync", "--skip-innodb-doublewrite", "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=0", "--max-connections=3000", "--character-set-server=utf8mb3",
        "--collation-server=utf8mb3_general_ci", "--performance-schema=OFF", *root_user(),
    ]  # fmt: skip


def rabbitmq_environment(infra: Infra) -> dict[str, str]:
    """What makes rabbitmq-server, rabbitmqctl and epmd use our directory and ports and nothing of the system's."""
    home = infra.home / RABBITMQ
    port = str(infra.ports[RABBITMQ])
    return system_environment(
        HOME=str(home),
        RABBITMQ_NODENAME=f"devcloud{port}@localhost",
        RABBITMQ_NODE_PORT=port,
        RABBITMQ_NODE_IP_ADDRESS=ports.LOOPBACK,
        RABBITMQ_DIST_PORT=str(infra.ports["rabbitmq-dist"]),
        RABBITMQ_MNESIA_BASE=str(home / "mnesia"),
        RABBITMQ_LOG_BASE=str(home / "log"),
        RABBITMQ_ENABLED_PLUGINS_FILE=str(home / "enabled_plugins"),
        RABBITMQ_CONF_ENV_FILE=str(home / "none"),
        RABBITMQ_CONFIG_FILE=str(home / "rabbitmq"),
        RABBITMQ_PID_FILE=str(home / "pid"),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none",
        ERL_EPMD_PORT=str(infra.ports[EPMD]),
        ERL_EPMD_ADDRESS=ports.LOOPBACK,
    )


def ensure_rabbitmq(infra: Infra) -> None:
    """Starts RabbitMQ; epmd first and by ourselves, else the node would leave a daemon of its own behind."""
    env = rabbitmq_environment(infra)
    if not process.find(infra.pid_file(EPMD)):
        launch(infra, EPMD, ["epmd", "-port", str(infra.ports[EPMD]), "-address", ports.LOOPBACK], env)
    if process.find(infra.pid_file(RABBITMQ)):
        return
    with step("rabbitmq started"):
        home = infra.home / RABBITMQ
        home.mkdir(parents=True, exist_ok=True)
        (home / "enabled_plugins").write_text("[].\n")
        (home / "rabbitmq.conf").write_text(rabbitmq_settings(infra))
        launch(infra, RABBITMQ, [str(RABBITMQ_BIN / "rabbitmq-server")], env)


def rabbitmq_settings(infra: Infra) -> str:
    """The content of rabbitmq.conf; the user in it replaces guest."""
    settings = {
        "default_user": "devcloud",
        "default_pass": infra.password,
        "log.console": "true",
        "log.file": "false",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def launch(infra: Infra, service: str, command: list[str], env: Mapping[str, str]) -> None:
    """Starts one shared server and waits until its port answers; raises with the log's path if it ends before."""
    port = infra.ports[service]
    if not ports.is_free(port):
        raise DevcloudError(f"port {port} of {service} is taken by another program; stop that program (see `ss -ltnp`)")
    if not shutil.which(command[0], path=SYSTEM_PATH):
        raise DevcloudError(f"{command[0]} is not installed; run `python3 -m deploy.devcloud install`")
    infra.home.mkdir(parents=True, exist_ok=True)
    started = process.start(command, infra.pid_file(service), infra.log(service), env, infra.home)
    process.wait_until(lambda: ports.answers(port) or not process.is_alive(started), START_TIMEOUT)
    if not (process.is_alive(started) and ports.answers(port)):
        raise DevcloudError(f"{service} did not start; see {infra.log(service)}{process.tail(infra.log(service))}")


def stop(infra: Infra) -> None:
    """Ends the shared servers; epmd last, because a node without it cannot stop in order."""
    process.stop([infra.pid_file(MARIADB), infra.pid_file(RABBITMQ)], STOP_GRACE)
    process.stop([infra.pid_file(EPMD)], STOP_GRACE)


def rabbitmqctl(infra: Infra, *arguments: str) -> str:
    """Runs rabbitmqctl against our node (1-2 s a call) and returns its output; waits for a node still booting."""
    command = [str(RABBITMQ_BIN / "rabbitmqctl"), "-q", *arguments]
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        result = subprocess.run(command, env=rabbitmq_environment(infra), capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return result.stdout
        booting = "not running" in result.stderr or "unable to connect" in result.stderr
        if not booting or time.monotonic() > deadline:
            reason = " ".join((result.stderr or result.stdout).split())[:300]
            raise DevcloudError(f"rabbitmqctl {arguments[0]} failed: {reason}; see {infra.log(RABBITMQ)}")


def add_vhost(infra: Infra, name: str, password: str) -> None:
    """Makes a vhost and a user of the same name who may do everything in it, in one rabbitmqctl call."""
    permissions = '<<".*">>, <<".*">>, <<".*">>'
    rabbitmqctl(infra, "eval", (
        f'rabbit_vhost:add(<<"{name}">>, <<"devcloud">>), '
        f'rabbit_auth_backend_internal:put_user(#{{name => <<"{name}">>, password => <<"{password}">>, '
        f'tags => <<"">>}}, <<"devcloud">>), '
        f'rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{name}">>, {permissions}, <<"devcloud">>).'
    ))  # fmt: skip


def delete_vhost(infra: Infra, name: str) -> None:
    """Removes a vhost with its queues, and its user. May be repeated."""
    rabbitmqctl(infra, "eval", (
        f'catch rabbit_vhost:delete(<<"{name}">>, <<"devcloud">>), '
        f'catch rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"devcloud">>).'
    ))  # fmt: skip
