"""The road to the site's APIs: one authenticated session and its requests. The only importer of openstacksdk.

openstacksdk reads clouds.yaml and makes the session; its resource layer is not used (it costs more CPU for a request
than all the rest of a boot).
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, BinaryIO

import keystoneauth1.exceptions as errors
import msgspec
import openstack.config
import requests.adapters
import requests.exceptions
import urllib3.exceptions
from openstack.exceptions import ConfigException

from proto import logs, tracing, waits
from proto.errors import Misconfigured, Unavailable
from site_agent.breakers import Breakers
from site_agent.core.answers import Answer, refuse_not_now, waiting_time
from site_agent.core.breaker import Overloaded
from site_agent.core.servers import seconds
from site_agent.slots import CURRENT

LOG = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0  # s
OTHERS = 12  # requests at the same time of all that is no command: looks, queries, census, snapshots on their way up
UPLOAD_TIMEOUT = 600.0  # s without a byte moving
SLOW = 5.0  # s; a slower answer is worth a line at INFO
OLDEST_NOVA = (2, 52)  # tags in the create call
NEWEST_NOVA = (2, 96)
PLACEMENT_VERSION = "1.14"  # root_provider_uuid; Queens and later


class Service(StrEnum):
    """The APIs of a site, by their names in the service catalogue."""

    COMPUTE = "compute"
    NETWORK = "network"
    IMAGE = "image"
    PLACEMENT = "placement"


_SUFFIX = {Service.NETWORK: "/v2.0", Service.IMAGE: "/v2"}
_CONNECTION = (errors.ConnectFailure, errors.DiscoveryFailure, errors.EndpointNotFound, errors.SSLError)
_TRANSPORT = (*_CONNECTION, requests.exceptions.RequestException, urllib3.exceptions.HTTPError)


class Cloud:
    """One session with a site. Safe for many tasks of one event loop; blocking calls run in bounded thread pools.

    Commands have ``threads`` of their own, so that neither a census nor what else is kept equal holds up a boot.
    """

    def __init__(self, session: Any, endpoints: Mapping[Service, str], timeout: float, threads: int) -> None:
        self._session = session
        self._endpoints = endpoints
        self._timeout = (CONNECT_TIMEOUT, timeout)
        self._commands = ThreadPoolExecutor(threads, thread_name_prefix="command")
        self._others = ThreadPoolExecutor(OTHERS, thread_name_prefix="other")
        self.breakers = Breakers()
        self.project_id = str(session.get_project_id())
        self.user_id = str(session.get_user_id())
        self.microversion = ""  # of Nova
        self.clock_offset = 0.0  # s, the site's clock minus ours, at least
        self.is_admin = False  # has the role that Nova takes for an administrator's unless its policy says otherwise

    @classmethod
    async def connect(cls, entry: str, timeout: float, threads: int) -> "Cloud":
        """Log in with an entry of clouds.yaml; Misconfigured if that cannot work."""
        try:
            return await asyncio.to_thread(cls._connect, entry, timeout, threads)
        except ConfigException as error:
            raise Misconfigured(f"[site] cloud: entry {entry!r} of clouds.yaml: {error}") from error
        except errors.Unauthorized as error:
            reason = f"Keystone refuses it: is its password right, or has it expired? ({error})"
            raise Misconfigured(f"[site] cloud: cannot log in with entry {entry!r} of clouds.yaml: {reason}") from error
        except errors.ClientException as error:
            raise Misconfigured(f"[site] cloud: cannot log in with entry {entry!r} of clouds.yaml: {error}") from error

    @classmethod
    def _connect(cls, entry: str, timeout: float, threads: int) -> "Cloud":
        region = openstack.config.OpenStackConfig().get_one(cloud=entry)
        session = region.get_session()
        for scheme in ("http://", "https://"):
            adapter = requests.adapters.HTTPAdapter(pool_connections=8, pool_maxsize=threads + OTHERS)
            session.session.mount(scheme, adapter)
        cloud = cls(session, _endpoints(region), timeout, threads)
        cloud.microversion = _nova_version(region)
        access = session.auth.get_access(session)
        cloud.is_admin = "admin" in access.role_names
        cloud.clock_offset = (seconds(access._data["token"]["issued_at"]) or 0.0) - time.time()
        return cloud

    def offers(self, service: Service) -> bool:
        """Whether the site's catalogue names the service."""
        return service in self._endpoints

    async def request(
        self,
        service: Service,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        microversion: str | None = None,
    ) -> Answer:
        """Send one request and return the answer, whatever its status below 500 but 401 and 429.

        Unavailable if there is no answer, or one that says "not now": what was asked may have been done or not. Its
        kind NotAsked: nothing was sent, as the API has not answered lately.
        ``microversion``: of this request alone, where the session's is too new or too dear.
        """
        options: dict[str, Any] = {"params": params, "timeout": self._timeout}
        if json is not None:
            options["data"] = msgspec.json.encode(json)
        options["headers"] = self._headers(service, "application/json", microversion)
        return await self._send(service, method, path, options)

    async def upload(self, path: str, content: BinaryIO) -> Answer:
        """PUT a file to Glance, never more than a block of it in memory; the answer may say that the store is full."""
        options: dict[str, Any] = {"data": content, "timeout": (CONNECT_TIMEOUT, UPLOAD_TIMEOUT), "allow_reauth": False}
        options["headers"] = self._headers(Service.IMAGE, "application/octet-stream")
        return await self._send(Service.IMAGE, "PUT", path, options, bulk=True)

    async def download(self, path: str, offset: int, length: int) -> Answer:
        """GET ``length`` bytes of a file in Glance as the answer's body; Unavailable if it would send all of it."""
        options: dict[str, Any] = {"timeout": self._timeout, "stream": True}
        options["headers"] = self._headers(Service.IMAGE, "application/json")
        options["headers"] |= {"Accept": "application/octet-stream", "Range": f"bytes={offset}-{offset + length - 1}"}
        return await self._send(Service.IMAGE, "GET", path, options, bulk=True)

    def close(self) -> None:
        """Take no further request; do not wait for those under way."""
        for pool in (self._commands, self._others):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _send(
        self, service: Service, method: str, path: str, options: dict[str, Any], bulk: bool = False
    ) -> Answer:
        if service not in self._endpoints:
            raise Unavailable(f"the site's catalogue names no {service} service", 60.0)
        what = f"{method} {service} {path.partition('?')[0]}"
        with self.breakers.asking(service, bulk=bulk), tracing.span(f"site {method} {service}", path=path):
            options["headers"].update(tracing.inject())
            begun = time.monotonic()
            answer = await self._in_thread(f"{self._endpoints[service]}{path}", method, options, what)
            spent = time.monotonic() - begun
            LOG.log(logging.INFO if spent > SLOW else logging.DEBUG, "%s: %d in %.2f s", what, answer.status, spent)
            refuse_not_now(answer, what)
            return answer

    async def _in_thread(self, url: str, method: str, options: dict[str, Any], what: str) -> Answer:
        call = lambda: _call(self._session, url, method, options)  # noqa: E731
        try:
            with waits.waiting():
                pool = self._commands if CURRENT.get() else self._others
                return await asyncio.get_running_loop().run_in_executor(pool, call)
        except errors.Unauthorized as error:
            raise Unavailable(f"the site refuses the agent's credentials: {error}", 30.0) from error
        except (*_TRANSPORT, errors.ClientException) as error:
            raise Overloaded(f"{what}: {error}") from error

    def _headers(self, service: Service, content: str, microversion: str | None = None) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": content}
        if service is Service.COMPUTE:
            headers["OpenStack-API-Version"] = f"compute {microversion or self.microversion}"
        elif service is Service.PLACEMENT:
            headers["OpenStack-API-Version"] = f"placement {PLACEMENT_VERSION}"
        if request_id := logs.request_id():
            headers["X-Openstack-Request-Id"] = request_id
        return headers


def _call(session: Any, url: str, method: str, options: dict[str, Any]) -> Answer:
    reply = session.request(url, method, raise_exc=False, log=False, redirect=False, **options)
    if options.get("stream"):
        return _streamed(reply)
    date = _date(reply.headers.get("Date"))
    retry_after = waiting_time(reply.headers.get("Retry-After"), _date(reply.headers.get("Retry-After")), date)
    return Answer(reply.status_code, _decoded(reply.content), date, retry_after)


def _streamed(reply: Any) -> Answer:
    """Take a part of a file; one that comes whole is not read."""
    with reply:
        if reply.status_code == 200:
            raise Unavailable("the site's Glance, or a proxy before it, ignores Range: images cannot be read", 60.0)
        body = reply.content if reply.status_code == 206 else _decoded(reply.content)
        return Answer(reply.status_code, body)


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content) if content else None
    except msgspec.MsgspecError:
        return content[:2000].decode(errors="replace")


def _date(header: str | None) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except ValueError:
        return None


def _endpoints(region: Any) -> dict[Service, str]:
    found = {}
    for service in Service:
        url = region.get_session_client(service.value).get_endpoint()
        if url:
            base, suffix = url.rstrip("/"), _SUFFIX.get(service, "")
            found[service] = base if base.endswith(suffix) else base + suffix
    missing = {Service.COMPUTE, Service.NETWORK, Service.IMAGE} - set(found)
    if missing:
        raise Misconfigured(f"the site's catalogue names no {', '.join(sorted(missing))} service for this region")
    return found


def _nova_version(region: Any) -> str:
    newest = region.get_session_client("compute").get_endpoint_data().max_microversion
    if not newest or newest < OLDEST_NOVA:
        raise Misconfigured(f"the site's Nova speaks microversion {newest}, too old: 2.52 (Pike) is the least")
    return "{}.{}".format(*min(newest, NEWEST_NOVA))
