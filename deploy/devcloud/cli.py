"""The command line: `python3 -m deploy.devcloud COMMAND`."""

import argparse
import fcntl
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from deploy.devcloud import cloud, infra, install, lifecycle, rabbitmq, servers, status
from deploy.devcloud.cloud import ADMIN, CASCADING, MEMBER, SITE, Options, Size
from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.paths import STATE_VARIABLE, Layout, layout
from deploy.devcloud.progress import step
from deploy.devcloud.releases import CURRENT, RELEASES, named


def main(arguments: Sequence[str]) -> int:
    """Runs one command. Exit code 1 and one line on standard error for anything the user can mend."""
    chosen = parser().parse_args(arguments)
    try:
        chosen.run(layout(), chosen)
    except DevcloudError as error:
        print(f"devcloud: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"devcloud: {error}; is the state directory {layout().root} writable, is the disk full?", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("devcloud: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(
        "deploy.devcloud", description=f"Real OpenStack clouds on loopback; state in ${STATE_VARIABLE} or .state"
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    text = "install MariaDB, RabbitMQ, memcached and the OpenStack environment (up does it too)"
    add_release(add(commands, "install", run_install, text))
    add_up(commands)
    stop = add(commands, "stop", run_stop, "stop a cloud, or one service of it, and keep its data")
    start = add(commands, "start", run_start, "start a stopped cloud, or one service of it")
    restart = add(commands, "restart", run_restart, "stop and start a cloud, or one service of it")
    for command in (stop, start, restart):
        command.add_argument("name", metavar="NAME")
        command.add_argument("service", metavar="SERVICE", nargs="?")
    down = add(commands, "down", run_down, "stop clouds and remove their data")
    down.add_argument("names", metavar="NAME", nargs="*")
    down.add_argument("--all", action="store_true", help="every cloud, MariaDB and RabbitMQ too: leaves no process")
    down.add_argument("--purge", action="store_true", help=argparse.SUPPRESS)
    show = add(commands, "status", run_status, "what runs")
    show.add_argument("-f", "--format", choices=["table", "json"], default="table")
    ctl = add(commands, "rabbitmqctl", run_rabbitmqctl, "call rabbitmqctl on the shared broker")
    ctl.add_argument("arguments", nargs=argparse.REMAINDER)
    return top


def add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[Layout, argparse.Namespace], None],
    text: str,
) -> argparse.ArgumentParser:
    """One command."""
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    return command


def add_up(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command `up`; its options hold for clouds that do not exist yet."""
    command = add(commands, "up", run_up, "make clouds, or start existing ones")
    size = Size()
    command.add_argument("names", metavar="NAME", nargs="+")
    command.add_argument("--role", choices=[CASCADING, SITE], default=SITE, help="cascading: no nova-compute at all")
    command.add_argument("--computes", type=int, default=1, help="fake compute hosts of a site (1)")
    command.add_argument("--cinder", action="store_true", help="with Cinder (a back end that stores nothing)")
    command.add_argument("--vcpus", type=int, default=size.vcpus, help=f"of each compute ({size.vcpus})")
    command.add_argument("--ram-mib", type=int, default=size.ram_mib, help=f"of each compute ({size.ram_mib})")
    command.add_argument("--disk-gib", type=int, default=size.disk_gib, help=f"of each compute ({size.disk_gib})")
    command.add_argument("--no-ml2", dest="ml2", action="store_false", help="cascading: Neutron binds no port")
    command.add_argument("--agent-role", choices=[ADMIN, MEMBER], default=ADMIN, help="role of a site's agent (admin)")
    add_release(command)


def add_release(command: argparse.ArgumentParser) -> None:
    """The option that names a release."""
    text = f"OpenStack release ({CURRENT.name})"
    command.add_argument("--release", choices=list(RELEASES), default=CURRENT.name, help=text)


@contextmanager
def exclusive(where: Layout) -> Iterator[None]:
    """One changing command at a time per state directory; a second one waits."""
    where.root.mkdir(parents=True, exist_ok=True)
    with where.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another devcloud command of this state directory", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_install(where: Layout, chosen: argparse.Namespace) -> None:
    """`install`."""
    with exclusive(where):
        install.ensure(where, named(chosen.release))


def run_up(where: Layout, chosen: argparse.Namespace) -> None:
    """`up`."""
    size = Size(chosen.vcpus, chosen.ram_mib, chosen.disk_gib)
    options = Options(chosen.role, chosen.computes, chosen.cinder, chosen.ml2, size, chosen.release, chosen.agent_role)
    cloud.check_options(options)
    for name in chosen.names:
        cloud.check_name(name)
    with exclusive(where):
        for name in chosen.names:
            known = cloud.load(name, where)
            install.ensure(where, named((known.options if known and known.ready else options).release))
            lifecycle.up(where, name, options)


def run_stop(where: Layout, chosen: argparse.Namespace) -> None:
    """`stop`."""
    with exclusive(where):
        site = lifecycle.site_of(where, chosen.name)
        with step(f"{chosen.name}{' ' + chosen.service if chosen.service else ''} stopped"):
            if chosen.service:
                lifecycle.stop_service(site, chosen.service)
            else:
                lifecycle.stop(site)


def run_start(where: Layout, chosen: argparse.Namespace) -> None:
    """`start`."""
    with exclusive(where):
        site = lifecycle.site_of(where, chosen.name)
        with step(f"{chosen.name}{' ' + chosen.service if chosen.service else ''} started"):
            servers.ensure_running(site.infra)
            if chosen.service:
                lifecycle.start_service(site, chosen.service)
            else:
                lifecycle.start(site)


def run_restart(where: Layout, chosen: argparse.Namespace) -> None:
    """`restart`."""
    run_stop(where, chosen)
    run_start(where, chosen)


def run_down(where: Layout, chosen: argparse.Namespace) -> None:
    """`down`."""
    if bool(chosen.names) == chosen.all:
        raise DevcloudError("say which clouds to remove: `down NAME...`, or `down --all`")
    with exclusive(where):
        if chosen.all:
            lifecycle.down_all(where)
        for name in chosen.names:
            site = lifecycle.site_of(where, name)
            with step(f"{name} stopped and removed"):
                lifecycle.down(site)


def run_status(where: Layout, chosen: argparse.Namespace) -> None:
    """`status`."""
    rows = status.collect(where)
    print(json.dumps(rows, indent=2) if chosen.format == "json" else status.table(rows))


def run_rabbitmqctl(where: Layout, chosen: argparse.Namespace) -> None:
    """`rabbitmqctl`."""
    shared = infra.load(where)
    if shared is None:
        raise DevcloudError("there is no broker yet; `up NAME` starts it")
    print(rabbitmq.control(shared, *chosen.arguments), end="")
