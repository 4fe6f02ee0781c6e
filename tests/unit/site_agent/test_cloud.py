"""The session with a site: what is no command never takes the threads of commands."""

import asyncio
import threading
from typing import Any

from site_agent.core.answers import Answer
from site_agent.edge.cloud import Cloud, Service
from site_agent.slots import CURRENT, Slot


class Reply:
    """An HTTP answer."""

    status_code = 200
    content = b"{}"
    headers: dict[str, str] = {}  # noqa: RUF012


class Session:
    """A keystoneauth session whose requests to /slow wait until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def get_project_id(self) -> str:
        return "project"

    def get_user_id(self) -> str:
        return "user"

    def request(self, url: str, _method: str, **_options: Any) -> Reply:
        if url.endswith("/slow"):
            self.go.wait(10)
        return Reply()


async def test_a_command_finds_a_thread_whatever_else_is_asked() -> None:
    session = Session()
    cloud = Cloud(session, {Service.COMPUTE: "http://site"}, 60.0, threads=1)
    looks = [asyncio.create_task(cloud.request(Service.COMPUTE, "GET", "/slow")) for _ in range(50)]
    await asyncio.sleep(0.05)
    token = CURRENT.set(Slot(asyncio.Semaphore()))
    try:
        async with asyncio.timeout(5):
            assert await cloud.request(Service.COMPUTE, "GET", "/quick") == Answer(200, {})
    finally:
        CURRENT.reset(token)
        session.go.set()
    assert all(answer.ok for answer in await asyncio.gather(*looks))
    cloud.close()
