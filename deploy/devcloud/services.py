"""The services of a cloud: how each is called, in which order they start, and how one knows that it is up."""

import http.client
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.devcloud import ports, process
from deploy.devcloud.cloud import API_SERVICES, CINDER_API, MEMCACHED, Cloud
from deploy.devcloud.config import Site
from deploy.devcloud.environment import service_environment
from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.infra import PORT_GRACE, system_environment
from deploy.devcloud.paths import RUNTIME

START_TIMEOUT = 180.0
"""Seconds for a service to be up; 3-15 on two cores that do nothing else."""
STOP_GRACE = 20.0
"""Seconds from SIGTERM to SIGKILL; nova-compute may use graceful_shutdown_timeout + manager_shutdown_timeout = 3."""
API_THREADS = 4
CONDUCTOR, SCHEDULER = "nova-conductor", "nova-scheduler"
CINDER_SCHEDULER, CINDER_VOLUME = "cinder-scheduler", "cinder-volume"
CONFIGURED_AS = {"nova-api": "nova"}
"""API service -> directory of its configuration, where the names differ."""
PROGRAM_FILES = {"neutron": ("neutron.conf", "plugins/ml2/ml2_conf.ini"), "nova-api": ("nova.conf",)}
"""API service -> the configuration files it is started with where it is a program of its own."""
NOVA_READY = "Join ServiceGroup membership for this service"
CINDER_READY = "Starting cinder-"
"""What a service without a port logs when its queues exist (Cinder: a moment before)."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process of a cloud. `port` is None for what only talks over RabbitMQ."""

    name: str
    command: list[str]
    env: dict[str, str]
    port: int | None = None
    ready_line: str = ""


def first(site: Site) -> list[Service]:
    """What needs no service user: it starts at once, all in parallel."""
    return [memcached(site), *apis(site)]


def second(site: Site) -> list[Service]:
    """What asks Keystone for Placement while it starts, and exits on a 401: only after the service users exist."""
    services = [binary(site, name, "nova", NOVA_READY) for name in (CONDUCTOR, SCHEDULER)]
    if site.cloud.options.cinder:
        services += [binary(site, name, "cinder", CINDER_READY) for name in (CINDER_SCHEDULER, CINDER_VOLUME)]
    return services


def third(site: Site) -> list[Service]:
    """The computes: a ping sent before the conductor's queue exists would cost its 10 s time-out."""
    return [compute(site, host) for host in site.cloud.hosts]


def everything(site: Site) -> list[Service]:
    """All services of a cloud in their start order."""
    return [*first(site), *second(site), *third(site)]


def memcached(site: Site) -> Service:
    """The cloud's own cache."""
    port = site.cloud.ports[MEMCACHED]
    user = ["-u", "root"] if os.geteuid() == 0 else []
    command = ["/usr/bin/memcached", "-l", ports.LOOPBACK, "-p", str(port), "-U", "0", "-m", "64", *user]
    return Service(MEMCACHED, command, system_environment(), port)


def apis(site: Site) -> list[Service]:
    """The API services, each one uwsgi process or, of an older release, a server of its own."""
    cloud = site.cloud
    services = []
    for name in API_SERVICES:
        if name in site.release.programs:
            services.append(program(site, name))
        else:
            project = CONFIGURED_AS.get(name, name)
            env = {f"OS_{project.upper()}_CONFIG_DIR": str(cloud.etc(project))}
            services.append(uwsgi(site, name, env))
    if cloud.options.cinder:
        arguments = ("--pyargv", f"--config-file {cloud.etc('cinder') / 'cinder.conf'}")
        services.append(uwsgi(site, CINDER_API, {}, *arguments))
    return services


def uwsgi(site: Site, name: str, env: dict[str, str], *extra: str) -> Service:
    """An API service. `Connection: close`: uwsgi's http-socket keeps nothing alive, and clients must know."""
    port, module = site.cloud.ports[name], site.release.applications[name]
    command = [
        str(site.venv / "bin" / "uwsgi"), "--http-socket", f"{ports.LOOPBACK}:{port}", "--module", module,
        "--procname", f"{site.cloud.name}-{name}",
        "--processes", "1", "--threads", str(API_THREADS), "--enable-threads", "--single-interpreter", "--lazy-apps",
        "--need-app", "--die-on-term", "--buffer-size", "65535", "--add-header", "Connection: close", *extra,
    ]  # fmt: skip
    return Service(name, command, service_environment(site.layout, **env), port)


def program(site: Site, name: str) -> Service:
    """An API service that opens its port itself, as its configuration says."""
    etc = site.cloud.etc(CONFIGURED_AS.get(name, name))
    files = [argument for file in PROGRAM_FILES[name] for argument in ("--config-file", str(etc / file))]
    command = [str(site.venv / "bin" / site.release.programs[name]), *files]
    return Service(name, command, service_environment(site.layout), site.cloud.ports[name])


def binary(site: Site, name: str, project: str, ready_line: str) -> Service:
    """A service that only talks over RabbitMQ."""
    etc = site.cloud.etc(project)
    files = [etc / f"{project}.conf", *filter(Path.exists, [etc / f"{name}.conf"])]
    options = [argument for file in files for argument in ("--config-file", str(file))]
    command = [str(site.venv / "bin" / name), *options]
    return Service(name, command, service_environment(site.layout), ready_line=ready_line)


def compute(site: Site, host: str) -> Service:
    """One nova-compute with the fake driver, called as its host."""
    file = site.cloud.etc(host) / "nova.conf"
    command = [str(site.venv / "bin" / "python"), str(RUNTIME / "nova_compute.py"), "--config-file", str(file)]
    return Service(host, command, service_environment(site.layout), ready_line=NOVA_READY)


def start(site: Site, services: list[Service]) -> None:
    """Starts those that do not run and waits until all are up; raises for the first that ends before."""
    cloud = site.cloud
    checks: dict[str, Callable[[], bool]] = {}
    for service in services:
        if process.find(cloud.pid_file(service.name)):
            continue
        process.stop([cloud.pid_file(service.name)], STOP_GRACE)
        refuse_taken_port(cloud, service)
        log = cloud.log(service.name)
        offset = log.stat().st_size if log.exists() else 0
        process.start(service.command, cloud.pid_file(service.name), log, service.env, cloud.home)
        checks[service.name] = ready_check(cloud, service, offset)
    wait(cloud, checks)


def refuse_taken_port(cloud: Cloud, service: Service) -> None:
    """Says whose port it is before uwsgi would die of it."""
    port = service.port
    if port and not process.wait_until(lambda: ports.is_free(port), PORT_GRACE):
        raise DevcloudError(
            f"port {port} of {cloud.name}'s {service.name} is taken by another program; stop that program "
            f"(see `ss -ltnp`) or make the cloud anew with `python3 -m deploy.devcloud down {cloud.name}` and `up`"
        )


def wait(cloud: Cloud, checks: dict[str, Callable[[], bool]]) -> None:
    """Waits until every check holds; a service that ends before is an error at once."""
    waiting = dict(checks)

    def settled() -> bool:
        for name in list(waiting):
            if not process.find(cloud.pid_file(name)):
                log = cloud.log(name)
                raise DevcloudError(f"{cloud.name}'s {name} ended while starting; see {log}{process.tail(log)}")
            if waiting[name]():
                del waiting[name]
        return not waiting

    if not process.wait_until(settled, START_TIMEOUT):
        logs = ", ".join(str(cloud.log(name)) for name in waiting)
        raise DevcloudError(f"not up after {START_TIMEOUT:.0f} s: {', '.join(waiting)} of {cloud.name}; see {logs}")


def ready_check(cloud: Cloud, service: Service, offset: int) -> Callable[[], bool]:
    """How to know that a service is up: a line in its log after `offset`, an HTTP answer, an open port."""
    port = service.port
    if port is None:
        return lambda: logged(cloud, service, offset)
    if service.name == MEMCACHED:
        return lambda: ports.answers(port)
    return lambda: answers_http(port)


def answers_http(port: int) -> bool:
    """Whether an API answers at all; uwsgi accepts connections before its application is loaded."""
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=1.0)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def logged(cloud: Cloud, service: Service, offset: int) -> bool:
    """Whether a service has written its ready line into its log since `offset`."""
    with cloud.log(service.name).open("rb") as log:
        log.seek(offset)
        return service.ready_line.encode() in log.read()
