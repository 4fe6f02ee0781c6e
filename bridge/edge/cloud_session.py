"""The road to the cascading cloud's REST APIs. The only importer of keystoneauth1 in the bridge.

Catalogue endpoints are resolved once per service and no version is ever discovered, so that a call costs little more
than its HTTP. openstacksdk is not used.
"""

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from bridge.edge import clouds_yaml
from proto import tracing, waits
from proto.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from keystoneauth1.session import Session

THREADS = 16  # calls at the same time; more wait their turn
UPLOADS = 4  # files on their way at a time, of all sites
TIMEOUT = 75  # s; nova-api itself waits 60 s for a host's answer
RETRY_AFTER = 2.0  # s, when the service does not say
MAX_RETRY_AFTER = 60.0  # s
BLOCK = 256 * 1024  # bytes read at a time

# Appended to a catalogue endpoint that names no version.
API_VERSIONS = {"compute": "v2.1", "network": "v2.0", "image": "v2", "block-storage": "v3", "identity": "v3"}
# keystoneauth's generic plugins discover Keystone's version while they hold the plugin's lock, and wait for that lock
# for ever if the discovery is answered with 401. Identity v3 has been the only version since Queens.
V3_PLUGINS = {"password": "v3password", "token": "v3token"}
_VERSIONED = re.compile(r"/v\d+(\.\d+)?(/|$)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered: any status but 401, 429 and 5xx. ``body`` is the decoded JSON, else None."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300

    def message(self) -> str:
        """Return what the service said, in one line, for logs and faults."""
        text = self.content.decode("utf-8", "replace")
        inner = next(iter(self.body.values()), None) if isinstance(self.body, dict) else None
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):  # placement: {"errors": [{...}]}
            text = str(inner[0].get("detail") or inner[0].get("title") or text)
        elif isinstance(inner, dict):
            text = str(inner.get("message") or text)
        return f"HTTP {self.status}: {' '.join(text.split())[:500]}"


class CloudSession:
    """One user of one cloud. Safe for many tasks of one event loop; keeps connections and the token."""

    def __init__(
        self,
        session: "Session",
        name: str,
        *,
        region: str | None = None,
        interface: str = "public",
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._name = name
        self._region = region
        self._interface = interface
        self._endpoints: dict[str, str] = dict(overrides or {})
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=f"cloud-{name}")
        # A file may take its store many minutes: no call of any site shall wait for one.
        self._uploads = ThreadPoolExecutor(UPLOADS, thread_name_prefix=f"upload-{name}")

    @classmethod
    def from_clouds_yaml(cls, cloud: str) -> "CloudSession":
        """Return the session of an entry of clouds.yaml; Misconfigured if it is missing or incomplete.

        Nothing is sent yet: ``check`` does that.
        """
        entry = clouds_yaml.entry(cloud)
        overrides = {
            key.removesuffix("_endpoint_override").replace("_", "-"): str(value)
            for key, value in entry.items()
            if key.endswith("_endpoint_override") and value
        }
        interface = str(entry.get("interface") or entry.get("endpoint_type") or "public").removesuffix("URL")
        return cls(
            _session(cloud, entry), cloud, region=entry.get("region_name"), interface=interface, overrides=overrides
        )

    async def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        microversion: str | None = None,
        request_id: str | None = None,
        content: bytes | BinaryIO | None = None,
        most: int | None = None,
        timeout: float = TIMEOUT,
    ) -> Answer:
        """Send one request and return its answer.

        ``service`` is the official service type (compute, network, image, placement, block-storage, identity);
        ``path`` continues the versioned endpoint (``/servers/..``, ``/ports``); ``body`` is sent as JSON, ``content``
        as it is, a file block by block; of an answer longer than ``most`` bytes nothing is read: its content is empty;
        ``timeout``: s without a byte moving; ``request_id`` becomes the global request id. Unavailable for a lost
        connection, 429, 5xx, and a 401 that a new token did not mend: after a POST it may have been carried out. May be
        cancelled, but what was sent goes on.
        """
        all_headers = {"Accept": "application/json", **tracing.inject(), **(headers or {})}
        if microversion:
            all_headers["OpenStack-API-Version"] = f"{_microversion_service(service)} {microversion}"
        data: bytes | BinaryIO | None = content
        if body is not None:
            data = msgspec.json.encode(body)
            all_headers["Content-Type"] = "application/json"
        work = partial(self._send, service, method, path, data, query, all_headers, request_id, most, timeout)
        pool = self._pool if content is None or isinstance(content, bytes) else self._uploads
        with waits.waiting():
            return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def check(self, *services: str) -> None:
        """Authenticate, and see that the catalogue has ``services``; Misconfigured with one clear line if not."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._check, services)

    def endpoint(self, service: str) -> str:
        """Return the versioned endpoint of a service that was checked, without a slash at its end."""
        return self._endpoints[service]

    def close(self) -> None:
        """Drop connections and waiting calls; running ones end by themselves."""
        for pool in (self._pool, self._uploads):
            pool.shutdown(wait=False, cancel_futures=True)
        self._session.session.close()

    def _send(
        self,
        service: str,
        method: str,
        path: str,
        data: bytes | BinaryIO | None,
        query: Mapping[str, Any] | None,
        headers: dict[str, str],
        request_id: str | None,
        most: int | None,
        timeout: float,
    ) -> Answer:
        from keystoneauth1 import exceptions

        what = f"{method} {service} {path}"
        try:
            response = self._session.request(
                self._endpoint(service) + path,
                method,
                authenticated=True,
                raise_exc=False,
                redirect=False,
                log=False,  # keystoneauth would build the log line of every body at DEBUG
                headers=headers,
                data=data,
                params=query,
                global_request_id=request_id,
                stream=most is not None,
                timeout=timeout,
            )
            content = _content(response, most)
        except (exceptions.Unauthorized, exceptions.Forbidden) as error:
            raise Unavailable(f"{what}: Keystone refuses us: {self._expired()} ({error})", 30.0) from error
        except exceptions.ClientException as error:
            raise Unavailable(f"{what}: {error}", _retry_after(getattr(error, "response", None))) from error
        except OSError as error:  # requests' own, while a file goes up or an answer is read
            raise Unavailable(f"{what}: {error}") from error
        return self._answer(what, response, content)

    def _answer(self, what: str, response: Any, content: bytes) -> Answer:
        status = int(response.status_code)
        answer = Answer(status, _json(response.headers, content), response.headers, content)
        if status == 401:
            raise Unavailable(f"{what}: refused with a fresh token: {self._expired()}", 30.0)
        if status == 429 or status >= 500:
            raise Unavailable(f"{what}: {answer.message()}", _retry_after(response))
        return answer

    def _expired(self) -> str:
        return f"the password or credential of cloud {self._name!r} in clouds.yaml may have expired"

    def _endpoint(self, service: str) -> str:
        """Return the versioned endpoint without a slash at its end, asking the catalogue the first time.

        keystoneauth raises EndpointNotFound, but returns None with some plugins.
        """
        if service not in self._endpoints:
            found = self._session.get_endpoint(
                service_type=service, interface=self._interface, region_name=self._region, skip_discovery=True
            )
            if not found:
                raise Unavailable(f"the catalogue of cloud {self._name!r} has no {self._interface} {service}", 30.0)
            self._endpoints[service] = _versioned(service, found)
        return self._endpoints[service]

    def _check(self, services: tuple[str, ...]) -> None:
        from keystoneauth1 import exceptions

        prefix = f"cloud {self._name!r} in clouds.yaml:"
        try:
            self._session.get_token()
            for service in services:
                self._endpoint(service)
        except (exceptions.Unauthorized, exceptions.Forbidden) as error:
            raise Misconfigured(f"{prefix} wrong user, password or project: {_line(error)}") from error
        except exceptions.ConnectionError as error:
            raise Misconfigured(f"{prefix} Keystone is unreachable, check auth_url: {_line(error)}") from error
        except (exceptions.CatalogException, Unavailable) as error:
            raise Misconfigured(f"{prefix} check region_name and interface: {_line(error)}") from error
        except exceptions.ClientException as error:
            raise Misconfigured(f"{prefix} Keystone gives no token: {_line(error)}") from error


def _session(cloud: str, entry: Mapping[str, Any]) -> "Session":
    """Build the keystoneauth session; keystoneauth is imported here, late: it costs 22 MiB."""
    import requests
    from keystoneauth1 import exceptions, loading
    from keystoneauth1.session import Session, TCPKeepAliveAdapter

    auth_type = entry.get("auth_type") or "password"
    given = {str(key).replace("-", "_"): value for key, value in (entry.get("auth") or {}).items()}
    if auth_type in V3_PLUGINS and "auth_url" in given:
        auth_type, given["auth_url"] = V3_PLUGINS[auth_type], _versioned("identity", str(given["auth_url"]))
    try:
        loader = loading.get_plugin_loader(auth_type)
        auth = loader.load_from_options_getter(
            lambda option: next((given[o.dest] for o in [option, *option.deprecated] if o.dest in given), None)
        )
    except (exceptions.ClientException, exceptions.MissingRequiredOptions) as error:
        raise Misconfigured(f"cloud {cloud!r} in clouds.yaml: auth: {_line(error)}") from error
    http = requests.Session()
    for scheme in ("http://", "https://"):
        http.mount(scheme, TCPKeepAliveAdapter(pool_maxsize=THREADS))
    verify = False if entry.get("insecure") else entry.get("cacert") or entry.get("verify", True)
    certificate = (entry["cert"], entry["key"]) if entry.get("cert") and entry.get("key") else entry.get("cert")
    return Session(
        auth=auth, session=http, verify=verify, cert=certificate, timeout=TIMEOUT, user_agent="cascade-bridge"
    )


def _versioned(service: str, endpoint: str) -> str:
    endpoint = endpoint.rstrip("/")
    version = API_VERSIONS.get(service)
    return endpoint if version is None or _VERSIONED.search(endpoint) else f"{endpoint}/{version}"


def _microversion_service(service: str) -> str:
    return "volume" if service == "block-storage" else service


def _content(response: Any, most: int | None) -> bytes:
    """Read an answer unless it is longer than wanted; then the connection is dropped instead."""
    if most is None:
        return bytes(response.content)
    with response:
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > most and response.status_code < 400:
            return b""
        content = b""
        for block in response.iter_content(BLOCK):
            content += block
            if len(content) > most and response.status_code < 400:
                return b""
        return content


def _json(headers: Mapping[str, str], content: bytes) -> Any:
    if not content or "json" not in headers.get("Content-Type", ""):
        return None
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None


def _retry_after(response: Any) -> float:
    value = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(value), MAX_RETRY_AFTER) if value.isdigit() and int(value) else RETRY_AFTER


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
