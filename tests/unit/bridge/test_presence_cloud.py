"""The road to the cascading APIs, against a small HTTP server that plays Keystone and one service."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bridge.edge import clouds_yaml
from bridge.edge.cloud_session import Answer, CloudSession
from proto.errors import Misconfigured, Unavailable

PASSWORD = "correct"


@dataclass
class Cloud:
    """What the server saw, and what it is to answer next: (status, headers); 200 when nothing is left."""

    url: str = ""
    tokens: int = 0
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cloud: Cloud

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/auth/tokens"):
            self._token(json.loads(body))
        else:
            self._serve(body)

    def do_GET(self) -> None:
        self._serve(b"")

    def _token(self, request: dict[str, Any]) -> None:
        if request["auth"]["identity"]["password"]["user"]["password"] != PASSWORD:
            self._send(401, {"error": {"code": 401, "message": "wrong", "title": "Unauthorized"}})
            return
        self.cloud.tokens += 1
        endpoint = {"id": "e", "interface": "public", "region": "R", "region_id": "R", "url": f"{self.cloud.url}/nova"}
        catalog = [{"id": "s", "type": "compute", "name": "nova", "endpoints": [endpoint]}]
        token = {"methods": ["password"], "expires_at": "2999-01-01T00:00:00.000000Z", "catalog": catalog, "user": {}}
        self._send(201, {"token": token}, {"X-Subject-Token": f"token-{self.cloud.tokens}"})

    def _serve(self, body: bytes) -> None:
        self.cloud.requests.append((self.command, self.path, dict(self.headers), body))
        status, headers = self.cloud.answers.pop(0) if self.cloud.answers else (200, {})
        self._send(status, {"path": self.path}, headers)

    def _send(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    state = Cloud()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"cloud": state}))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def write(folder: Path, auth_url: str, password: str = PASSWORD, **more: Any) -> Path:
    auth = {"auth_url": auth_url, "username": "u", "password": password, "project_name": "p"}
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    file = folder / "clouds.yaml"
    file.write_text(json.dumps({"clouds": {"top": {"auth": auth | domains, "region_name": "R", **more}}}))
    return file


@pytest.fixture
def session(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudSession]:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(write(tmp_path, f"{cloud.url}/v3")))
    made = CloudSession.from_clouds_yaml("top")
    yield made
    made.close()


async def test_a_call_goes_to_the_versioned_endpoint_with_all_its_headers(cloud: Cloud, session: CloudSession) -> None:
    request_id = "req-11111111-1111-4111-8111-111111111111"
    answer = await session.call(
        "compute", "POST", "/x", body={"a": 1}, query={"q": "1"}, microversion="2.53", request_id=request_id
    )
    method, path, headers, body = cloud.requests[0]
    assert (answer.status, answer.ok, answer.body) == (200, True, {"path": "/nova/v2.1/x?q=1"})
    assert (method, path, body) == ("POST", "/nova/v2.1/x?q=1", b'{"a":1}')
    assert headers["OpenStack-API-Version"] == "compute 2.53"
    assert headers["X-Openstack-Request-Id"] == request_id
    assert headers["X-Auth-Token"] == "token-1"


@pytest.mark.parametrize("path", ["", "/", "/v3"])
async def test_keystones_version_is_not_discovered_either(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    cloud.answers = [(401, {})]
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(write(tmp_path, cloud.url + path)))
    session = CloudSession.from_clouds_yaml("top")
    await session.check("compute")
    assert cloud.requests == []
    session.close()


async def test_one_token_and_no_discovery_serve_many_calls(cloud: Cloud, session: CloudSession) -> None:
    for _ in range(3):
        await session.call("compute", "GET", "/x")
    assert cloud.tokens == 1
    assert len(cloud.requests) == 3


async def test_content_is_sent_as_it_is(cloud: Cloud, session: CloudSession) -> None:
    await session.call("compute", "POST", "/x", content=b"\0raw", headers={"Content-Type": "application/octet-stream"})
    assert cloud.requests[0][3] == b"\0raw"
    assert cloud.requests[0][2]["Content-Type"] == "application/octet-stream"


async def test_a_4xx_is_the_callers_business(cloud: Cloud, session: CloudSession) -> None:
    cloud.answers = [(404, {}), (409, {})]
    assert (await session.call("compute", "GET", "/x")).status == 404
    assert (await session.call("compute", "POST", "/x", body={})).status == 409


@pytest.mark.parametrize(("status", "header", "expected"), [(503, "7", 7.0), (429, "9999", 60.0), (500, "soon", 2.0)])
async def test_5xx_and_429_are_for_later(
    cloud: Cloud, session: CloudSession, status: int, header: str, expected: float
) -> None:
    cloud.answers = [(status, {"Retry-After": header})]
    with pytest.raises(Unavailable) as caught:
        await session.call("compute", "GET", "/x")
    assert caught.value.retry_after == expected


async def test_an_expired_token_is_replaced(cloud: Cloud, session: CloudSession) -> None:
    cloud.answers = [(401, {})]
    assert (await session.call("compute", "GET", "/x")).ok
    assert cloud.tokens == 2


async def test_a_401_with_a_fresh_token_says_that_the_credential_may_have_expired(
    cloud: Cloud, session: CloudSession
) -> None:
    cloud.answers = [(401, {})] * 2
    with pytest.raises(Unavailable, match="may have expired"):
        await session.call("compute", "GET", "/x")


async def test_a_lost_connection_is_for_later(cloud: Cloud, session: CloudSession) -> None:
    await session.check("compute")
    session._endpoints["compute"] = "http://127.0.0.1:1/nova"
    with pytest.raises(Unavailable):
        await session.call("compute", "GET", "/x")


async def test_a_service_that_the_catalogue_lacks(session: CloudSession) -> None:
    with pytest.raises(Unavailable, match="placement"):
        await session.call("placement", "GET", "/x")
    with pytest.raises(Misconfigured, match="placement"):
        await session.check("placement")


async def test_check_names_a_wrong_password_and_an_unreachable_keystone(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = {
        "wrong user, password or project": (f"{cloud.url}/v3", "wrong"),
        "unreachable": ("http://127.0.0.1:1/v3", ""),
    }
    for expected, (url, password) in cases.items():
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(write(tmp_path, url, password)))
        session = CloudSession.from_clouds_yaml("top")
        with pytest.raises(Misconfigured, match=expected) as caught:
            await session.check()
        assert "\n" not in str(caught.value)
        session.close()


def test_an_incomplete_entry_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "clouds.yaml"
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    for text in ("clouds: {top: {auth: {username: u}}}", "clouds: {top: {auth_type: nonsense}}"):
        file.write_text(text)
        with pytest.raises(Misconfigured, match="'top'"):
            CloudSession.from_clouds_yaml("top")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clouds: {a: {}}", "it has: a"),
        ("[1", "no YAML"),
        ("x: 1", "no section"),
        ("clouds: {top: {profile: v}}", "profile"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=expected):
        clouds_yaml.entry("top", {"OS_CLIENT_CONFIG_FILE": str(file)})


def test_secrets_may_live_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("clouds: {top: {auth: {auth_url: u, username: n}}}")
    (tmp_path / "s.yaml").write_text("clouds: {top: {auth: {password: p}}}")
    named = {"OS_CLIENT_CONFIG_FILE": str(tmp_path / "c.yaml"), "OS_CLIENT_SECURE_FILE": str(tmp_path / "s.yaml")}
    assert clouds_yaml.entry("top", named)["auth"] == {"auth_url": "u", "username": "n", "password": "p"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"itemNotFound": {"code": 404, "message": "no such\nthing"}}, "HTTP 404: no such thing"),
        ({"errors": [{"title": "t", "detail": "placement says so"}]}, "HTTP 404: placement says so"),
        ({"NeutronError": {"type": "X", "message": "no port"}}, "HTTP 404: no port"),
    ],
)
def test_messages_of_all_services_are_readable(content: dict[str, Any], expected: str) -> None:
    assert Answer(404, content, {}, json.dumps(content).encode()).message() == expected
