"""One of the two clouds: carries a sequence out for its tenant, waits for settled states, and tells what was seen."""

import threading
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.clouds import User
from tests.sequences.calls import BY_NAME, IMAGE, LARGE, NAME, SMALL, Call, Sequence
from tests.sequences.compare import GONE, UNSETTLED, Step, imaged, visible

SETTLED = 120.0  # s until a call must have ended
PAUSE = 0.7  # s between two looks at all servers
MICROVERSION = "2.96"


class Side:
    """A tenant of one cloud with what booting needs there. Many threads may run sequences at once."""

    def __init__(self, user: User, zone: str, image: str, flavors: tuple[str, str], network: str) -> None:
        self._user = user
        self._zone = zone
        self._stand_ins = {IMAGE: image, SMALL: flavors[0], LARGE: flavors[1]}
        self._network = network
        self._lock = threading.Lock()
        self._began = 0.0
        self._servers: dict[str, dict[str, Any]] = {}

    def run(self, name: str, sequence: Sequence, networked: bool) -> list[Step]:
        """Return what was seen after the boot and after every call; leaves nothing behind."""
        stand_ins = {**self._stand_ins, NAME: name}
        server_id = self._boot(name, networked)
        names = {self._stand_ins[IMAGE]: IMAGE, server_id: "SERVER"}
        try:
            steps = [self._step("boot", 202, "", self._settled(server_id, time.monotonic(), booted), names, server_id)]
            for call in sequence:
                steps.append(self._do(BY_NAME[call], server_id, stand_ins, names))
            return [*steps, self._history(name, server_id, names)]
        finally:
            self._remove(name, server_id)

    def _boot(self, name: str, networked: bool) -> str:
        body = {
            "name": name,
            "flavorRef": self._stand_ins[SMALL],
            "imageRef": self._stand_ins[IMAGE],
            "networks": [{"uuid": self._network}] if networked else "none",
            "availability_zone": self._zone,
        }
        answer = self._send("POST", "/servers", {"server": body})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["server"]["id"])

    def _do(self, call: Call, server_id: str, stand_ins: dict[str, str], names: dict[str, str]) -> Step:
        answer = self._send(call.method, f"/servers/{server_id}{call.path}", _filled(call.body, stand_ins))
        accepted = answer.status_code < 300
        ended = {"confirm resize": confirmed, "delete": gone}.get(call.name, idle) if accepted else idle
        settled = self._settled(server_id, time.monotonic(), ended)
        return self._step(
            call.name, answer.status_code, "" if accepted else _message(answer), settled, names, server_id
        )

    def _step(self, call: str, code: int, message: str, settled: bool, names: dict[str, str], server_id: str) -> Step:
        answer = self._send("GET", f"/servers/{server_id}", None)
        if answer.status_code == 404:
            seen: dict[str, Any] = dict(GONE)
        else:
            seen = visible(answer.json()["server"], names)
        return Step(call, code, _known(message, names), seen if settled else {**seen, **UNSETTLED})

    def _settled(self, server_id: str, after: float, ended: Callable[[dict[str, Any] | None], bool]) -> bool:
        deadline = time.monotonic() + SETTLED
        while time.monotonic() < deadline:
            began, servers = self._look(after)
            if ended(servers.get(server_id)):
                return True
            after = began + PAUSE
            time.sleep(max(0.0, after - time.monotonic()))
        return False

    def _look(self, after: float) -> tuple[float, dict[str, dict[str, Any]]]:
        """Return all servers as they were seen at or after a time; one request serves all who wait."""
        with self._lock:
            if self._began < after:
                self._began = time.monotonic()
                self._servers = {server["id"]: server for server in self._user.servers()}
            return self._began, self._servers

    def _history(self, name: str, server_id: str, names: dict[str, str]) -> Step:
        """Return the instance actions, oldest first, and the images made, as a step of its own."""
        path = f"/servers/{server_id}/os-instance-actions"
        answer = self._send("GET", path, None)
        actions = list(reversed(answer.json()["instanceActions"])) if answer.ok else []
        seen: dict[str, Any] = {"actions": [(a["action"], _known(a["message"] or "", names)) for a in actions]}
        for number, action in enumerate(actions):
            shown = self._send("GET", f"{path}/{action['request_id']}", None).json()["instanceAction"]
            events = sorted((event["event"], event["result"]) for event in shown.get("events") or [])
            seen[f"events of {number} {action['action']}"] = events
        images = self._user.get("image", "/images", name=name)["images"]
        seen["images"] = sorted(imaged(image) for image in images)
        return Step("history", answer.status_code, "", seen)

    def _remove(self, name: str, server_id: str) -> None:
        self._send("POST", f"/servers/{server_id}/action", {"unlock": None})
        self._send("DELETE", f"/servers/{server_id}", None)
        self._settled(server_id, time.monotonic(), gone)
        for image in self._user.get("image", "/images", name=name)["images"]:
            self._user.connection.image.delete(f"/images/{image['id']}")

    def _send(self, method: str, path: str, body: Any) -> Any:
        compute = self._user.connection.compute
        return compute.request(path, method, json=body, microversion=MICROVERSION, raise_exc=False)


def booted(server: dict[str, Any] | None) -> bool:
    """Whether a boot has ended."""
    return server is not None and server["status"] != "BUILD" and idle(server)


def idle(server: dict[str, Any] | None) -> bool:
    """Whether nothing is under way that a tenant can see."""
    return server is None or server["OS-EXT-STS:task_state"] is None


def confirmed(server: dict[str, Any] | None) -> bool:
    """Whether a resize is confirmed: Nova shows no task_state meanwhile."""
    return idle(server) and (server is None or server["status"] != "VERIFY_RESIZE")


def gone(server: dict[str, Any] | None) -> bool:
    """Whether there is no server."""
    return server is None


def _filled(body: Any, stand_ins: dict[str, str]) -> Any:
    if isinstance(body, dict):
        return {key: _filled(value, stand_ins) for key, value in body.items()}
    if isinstance(body, str):
        return stand_ins.get(body, body)
    return body


def _message(answer: Any) -> str:
    [problem] = answer.json().values()
    return str(problem["message"])


def _known(text: str, names: dict[str, str]) -> str:
    for value, name in names.items():
        text = text.replace(value, name)
    return text
