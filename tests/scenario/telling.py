"""Puts what happens between the programs into short lines: who, what, and the instance with its generation."""

import re
from typing import Any

from bridge.core import keys
from bridge.core.records import InstanceRecord, SiteFlavor, SiteSpec
from proto import codec, subjects
from proto.errors import Malformed
from proto.messages import Command, Observation, Outcome, Rpc
from tests.fakes.process import Process

QUIET = frozenset({"settled"})


class Teller:
    """Collects the lines; instances go by the names the story gives them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._generations: dict[str, list[int]] = {}

    def say(self, who: str, what: str) -> None:
        """Add a line; one that repeats the last is only counted."""
        line = f"{who:<7}{self._named(what)}"
        if self.lines and self.lines[-1].partition("  (x")[0] == line:
            _, _, times = self.lines[-1].partition("  (x")
            self.lines[-1] = f"{line}  (x{int(times.rstrip(')') or 1) + 1})"
            return
        self.lines.append(line)

    def take(self) -> list[str]:
        """Return the lines so far and begin anew."""
        lines, self.lines = self.lines, []
        return lines

    def _named(self, text: str) -> str:
        """Generations are large: they are numbered by instance, in the order in which they are first told."""
        for uuid, name in self.names.items():
            text = re.sub(
                f"{uuid}:(\\d+)", lambda found, uuid=uuid: f"{uuid}:{self._number(uuid, int(found[1]))}", text
            )
            text = text.replace(uuid, name)
        return text

    def _number(self, uuid: str, generation: int) -> int:
        known = self._generations.setdefault(uuid, [0])
        if generation not in known:
            known.append(generation)
        return known.index(generation)

    # -- what each edge says -------------------------------------------------------------------------------------------

    def road(self, what: str, subject: str, data: bytes) -> None:
        """A message was stored, kept out, acknowledged, given back or taken out."""
        kind = subject.split(".")[2]
        if kind == "evt" and what in ("ack", "stored"):
            if what == "stored":
                self.say("evt", _observation(subject, data))
        elif kind == "intake" and what == "ack":
            self.say("done", _rpc(data))
        elif kind == "intake":
            self.say("intake", f"{_rpc(data)}{'' if what == 'stored' else f' {what}'}")
        elif kind == "cmd":
            self.say("cmd", f"{_command(data)}{'' if what == 'stored' else f' {what}'}")
        elif kind == "dead":
            self.say("dead", f"from {subject.split('.')[3]}, {len(data)} bytes")
        else:
            self.say(kind, f"{what} {subject}")

    def store(self, process: Process, method: str, args: Any, kwargs: Any, _result: Any) -> None:
        """A key was written or deleted."""
        if method == "put" and args[0].endswith("/owner"):
            self.say("etcd", f"{args[0].split('/')[-2]} is owned by {process.name}")
        if method == "put" and keys.site_of_spec(args[0]):
            spec = codec.from_json(args[1], SiteSpec)
            self.say("etcd", f"{spec.site} epoch {spec.epoch}, given up: {', '.join(spec.given_up) or 'nothing'}")
        if method in ("put", "delete") and args[0].startswith(keys.HELD) and "/flavors/" in args[0]:
            self.say("etcd", _site_flavor(method, args))
        if method not in ("put", "delete") or "/instances/" not in args[0]:
            return
        if method == "delete":
            self.say("etcd", f"{args[0].split('/')[-1]} dropped")
            return
        record = codec.from_json(args[1], InstanceRecord)
        line = _record(record)
        if self._told.get(record.uuid) != line:
            self._told[record.uuid] = line
            self.say("etcd", line)

    def conductor(self, _process: Process, method: str, args: Any, kwargs: Any, result: Any) -> None:
        """Something was saved above."""
        if method == "save_instance":
            self.say("nova", f"{args[1]} {_instance(result)}")
        elif method == "create_fault":
            self.say("nova", f"{args[1]} fault: {args[3].message}")
        elif method == "destroy_instance":
            self.say("nova", f"{args[2]} deleted")
        elif method == "set_service_disabled":
            self.say("nova", f"{result['host']} {f'disabled: {args[3]}' if args[2] else 'enabled'}")

    def site(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        """A site answered a request that changes a server."""
        _, method, path = args[:3]
        if method == "GET" or not path.startswith("/servers"):
            return
        body = kwargs.get("json") or {}
        action = f" {next(iter(body))}" if path.endswith("/action") else ""
        made = f" {result.body['server']['id']}" if result.ok and path == "/servers" else ""
        self.say(name, f"{method} {path}{action} -> {result.status}{made}")


def _site_flavor(method: str, args: Any) -> str:
    site, _, flavor = args[0].removeprefix(keys.HELD).split("/")
    if method == "delete":
        return f"{site} has nothing of flavor {flavor}"
    held = codec.from_json(args[1], SiteFlavor)
    return (
        f"{site} lacks flavor {flavor} v{held.tried}: {held.reason}"
        if held.reason
        else (f"{site} has flavor {flavor} v{held.version}")
    )


def point(edge: str) -> Any:
    """Return what describes the calls at an edge, for failpoints: "conductor save_instance <uuid>"."""

    def describe(method: str, args: Any, kwargs: Any) -> str:
        words = [str(value) for value in args if isinstance(value, str)]
        return " ".join([edge, method, *words])

    return describe


def row(instance: dict[str, Any]) -> str:
    """An instance above in words."""
    return _instance(instance)


def _instance(instance: dict[str, Any]) -> str:
    task = f"/{instance['task_state']}" if instance["task_state"] else ""
    host = f" on {instance['host']}" if instance["host"] else ""
    return f"{instance['vm_state']}{task}{host}"


def record(known: InstanceRecord) -> str:
    """A record in words."""
    return _record(known)


def _record(known: InstanceRecord) -> str:
    if known.deleted_at is not None:
        return f"{known.uuid}:{known.generation} tombstone"
    if known.pending is None:
        return f"{known.uuid}:{known.generation} settled, {known.vm_state} in the site"
    cleanup = " (clean up)" if known.pending.cleanup else ""
    trouble = f", attempt {known.attempt}: {known.trouble}" if known.attempt else ""
    return f"{known.uuid}:{known.generation} {known.pending.verb} pending{cleanup}{trouble}"


def _rpc(data: bytes) -> str:
    try:
        rpc = codec.decode(data, Rpc)
    except Malformed:
        return "garbage"
    return f"{rpc.uuid} {rpc.method}{' redelivered' if rpc.redelivered else ''}"


def _command(data: bytes) -> str:
    try:
        command = codec.decode(data, Command)
    except Malformed:
        return "garbage"
    return f"{command.site} {command.verb} {command.uuid}:{command.generation}"


def _observation(subject: str, data: bytes) -> str:
    try:
        seen = codec.decode(data, Observation)
    except Malformed:
        return "garbage"
    who = f"{subject.split('.')[4]} {seen.uuid}:{seen.generation}"
    if seen.outcome is not Outcome.SEEN:
        reason = f" {seen.fault.code}: {seen.fault.message}" if seen.fault else ""
        return f"{who} {seen.outcome}{reason}"
    if seen.server is None:
        return f"{who} {'absent' if seen.absent else 'not looked at'}"
    task = f"/{seen.server.task_state}" if seen.server.task_state else ""
    return f"{who} {seen.server.vm_state}{task}"


def instance_of(key: str) -> str:
    """Return the uuid in the key of a record."""
    return key.removeprefix(keys.HELD).split("/")[-1]


def is_command(subject: str) -> bool:
    """Whether a stored message is a command."""
    return subject.startswith(f"{subjects.PREFIX}.cmd.")
