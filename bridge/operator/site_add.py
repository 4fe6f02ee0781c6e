"""`cascade site add`: keys and credential of a new site into a bundle, its spec into etcd."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bridge.core import keys
from bridge.core.records import SiteSpec
from bridge.edge import nats_jwt
from bridge.edge.nats_jwt import Key
from bridge.operator.context import Context
from bridge.operator.private_file import write_private
from proto import codec, subjects
from proto.errors import Misconfigured, Unavailable
from proto.messages import Bundle, SiteHost
from proto.sealing import PrivateKey

if TYPE_CHECKING:
    from bridge.edge.etcd_store import EtcdStore

MAX_ZONE = 255  # characters, Nova's limit
HOST = re.compile(r"[A-Za-z0-9._-]{1,255}")  # what Nova's API takes as a host
NATS_SCHEMES = ("nats", "tls", "ws", "wss")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class UsageError(Exception):
    """The command line asks for something impossible; exit code 2."""


def parse_hosts(site: str, zones: list[str]) -> list[SiteHost]:
    """Return the Nova hosts of a site from ``AZ[:SITE_AZ]`` arguments; UsageError says what is wrong with them."""
    if not subjects.SITE_NAME.fullmatch(site):
        raise UsageError(f"{site!r} is no site name: 1 to 32 of a-z, 0-9 and -, neither first nor last a -")
    hosts = []
    for number, text in enumerate(zones):
        zone, separator, site_zone = text.partition(":")
        for name in (zone, site_zone) if separator else (zone,):
            _check_zone(name)
        hosts.append(SiteHost(f"{site}.{zone}" if number else site, zone, site_zone or None))
    _check_hosts(hosts)
    return hosts


def _check_zone(zone: str) -> None:
    if not zone or len(zone) > MAX_ZONE or ":" in zone or not zone.isprintable() or zone != zone.strip():
        raise UsageError(f"{zone!r} is no availability zone: 1 to {MAX_ZONE} printable characters without ':'")


def _check_hosts(hosts: list[SiteHost]) -> None:
    zones = [host.availability_zone for host in hosts]
    if len(set(zones)) < len(zones):
        raise UsageError("an availability zone is named twice")
    if len(hosts) == 1:
        return
    inner = [host.site_availability_zone for host in hosts]
    if None in inner or len(set(inner)) < len(inner):
        raise UsageError("a site with several availability zones needs AZ:SITE_AZ for each, with different SITE_AZs")
    for host in hosts:
        if not HOST.fullmatch(host.host):
            raise UsageError(
                f"{host.host!r} is no Nova host: only letters, digits, '.', '_' and '-' (from the AZ's name)"
            )


def check_servers(servers: list[str]) -> list[str]:
    """Return the NATS URLs; UsageError if one is none."""
    for server in servers:
        url = urlsplit(server)
        if url.scheme not in NATS_SCHEMES or not url.hostname:
            raise UsageError(f"{server!r} is no NATS URL such as tls://nats.example.org:4222")
    return servers


def only_loopback(servers: list[str]) -> bool:
    """Whether no agent on another machine could connect."""
    return all(urlsplit(server).hostname in LOOPBACK for server in servers)


async def add(context: Context, site: str, hosts: list[SiteHost], bundle: Path, servers: list[str]) -> None:
    """Enrol a site. The bundle is written first, so that no spec ever waits for a site that nobody can start.

    Misconfigured if the site or the file exists; may then be repeated with another name.
    """
    conf = context.conf.nats
    account = Key.parse(context.secret(conf.account_key_file, "[nats] account_key_file"), "[nats] account_key_file")
    authority = context.secret(conf.ca_file, "[nats] ca_file") if conf.ca_file else None
    store = await context.store()
    if await store.get(keys.spec(site)):
        raise Misconfigured(f"site {site} exists already; see `cascade site show {site}`")
    credential = nats_jwt.site_credential(account, site)
    sealing = PrivateKey.generate()
    spec = SiteSpec(site, hosts, sealing.public().base64, credential.public_key, created_at=time.time())
    _write(bundle, Bundle(site, spec.epoch, hosts, servers, credential.creds, sealing.base64, authority))
    await _store(store, spec, bundle)


def _write(path: Path, bundle: Bundle) -> None:
    try:
        write_private(path, codec.to_json(bundle))
    except FileExistsError as error:
        raise Misconfigured(
            f"{path} exists and is not overwritten; if it is left over from an add that did not finish, remove it"
        ) from error
    except OSError as error:
        raise Misconfigured(f"cannot write {path}: {error.strerror}") from error


async def _store(store: "EtcdStore", spec: SiteSpec, bundle: Path) -> None:
    from bridge.edge.etcd_store import Conflict

    try:
        await store.put(keys.spec(spec.site), codec.to_json(spec), expected=0)
    except Conflict as error:
        _withdraw(bundle)
        raise Misconfigured(f"site {spec.site} was added by somebody else just now") from error
    except Unavailable as error:
        raise Unavailable(
            f"{error}; site {spec.site} may have been added or not: look with `cascade site show {spec.site}`, "
            f"and if it is not there remove {bundle} and try again"
        ) from error


def _withdraw(bundle: Path) -> None:
    bundle.unlink()
