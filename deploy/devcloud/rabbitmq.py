"""The shared RabbitMQ: start, vhosts, rabbitmqctl."""

import time
from pathlib import Path

from deploy.devcloud import ports, process
from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.infra import EPMD, RABBITMQ, START_TIMEOUT, Infra, launch, system_environment
from deploy.devcloud.progress import step

BIN = Path("/usr/lib/rabbitmq/bin")
"""Debian's wrapper in /usr/sbin would do `su rabbitmq`; these are the programs behind it."""


def environment(infra: Infra) -> dict[str, str]:
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


def ensure_running(infra: Infra) -> None:
    """Starts RabbitMQ; epmd first and by ourselves, else the node would leave a daemon of its own behind."""
    env = environment(infra)
    if not process.find(infra.pid_file(EPMD)):
        launch(infra, EPMD, ["epmd", "-port", str(infra.ports[EPMD]), "-address", ports.LOOPBACK], env)
    if process.find(infra.pid_file(RABBITMQ)):
        return
    with step("rabbitmq started"):
        home = infra.home / RABBITMQ
        home.mkdir(parents=True, exist_ok=True)
        (home / "enabled_plugins").write_text("[].\n")
        (home / "rabbitmq.conf").write_text(settings_file(infra))
        launch(infra, RABBITMQ, [str(BIN / "rabbitmq-server")], env)


def settings_file(infra: Infra) -> str:
    """The content of rabbitmq.conf; the user in it replaces guest."""
    settings = {
        "default_user": "devcloud",
        "default_pass": infra.password,
        "log.console": "true",
        "log.file": "false",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def control(infra: Infra, *arguments: str) -> str:
    """Calls rabbitmqctl for our node (1-2 s a call) and returns its output; waits for a node still booting."""
    command = [str(BIN / "rabbitmqctl"), "-q", *arguments]
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        result = process.call(command, environment(infra))
        if result.returncode == 0:
            return result.stdout
        booting = "not running" in result.stderr or "unable to connect" in result.stderr
        if not booting or time.monotonic() > deadline:
            reason = " ".join((result.stderr or result.stdout).split())[:300]
            raise DevcloudError(f"rabbitmqctl {arguments[0]} failed: {reason}; see {infra.log(RABBITMQ)}")


def add_vhost(infra: Infra, name: str, password: str) -> None:
    """Makes a vhost and a user of the same name who may do everything in it, in one rabbitmqctl call."""
    permissions = '<<".*">>, <<".*">>, <<".*">>'
    control(infra, "eval", (
        f'rabbit_vhost:add(<<"{name}">>, <<"devcloud">>), '
        f'rabbit_auth_backend_internal:put_user(#{{name => <<"{name}">>, password => <<"{password}">>, '
        f'tags => <<"">>}}, <<"devcloud">>), '
        f'rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{name}">>, {permissions}, <<"devcloud">>).'
    ))  # fmt: skip


def delete_vhost(infra: Infra, name: str) -> None:
    """Removes a vhost with its queues, and its user. May be repeated."""
    control(infra, "eval", (
        f'catch rabbit_vhost:delete(<<"{name}">>, <<"devcloud">>), '
        f'catch rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"devcloud">>).'
    ))  # fmt: skip
