"""`cascade dead list` and `show`: what is in DEAD. Reads only; secrets stay sealed, and raw arguments are not shown."""

import datetime
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.core import dead
from bridge.core.dead import Letter
from bridge.operator.context import Context
from proto import streams, subjects
from proto.errors import Malformed, Misconfigured
from proto.messages import Rpc
from proto.specs import Sealed

if TYPE_CHECKING:
    from proto.jetstream import JetStream, Stored

COLUMNS = ("id", "site", "at", "kind", "what", "instance", "reason", "size")


async def rows(context: Context, site: str | None) -> list[dict[str, Any]]:
    """Return the lines of ``dead list``, oldest first."""
    letters = [letter async for letter in _letters(await context.road())]
    return [_row(letter) for letter in letters if site in (None, letter.site)]


async def fields(context: Context, number: int) -> dict[str, Any]:
    """Return what ``dead show`` tells of one letter; Misconfigured if there is none of that number."""
    found = await one(await context.road(), number)
    written_by = "a bridge" if found.by_bridge else "the site"
    return {**_row(found), "subject": found.subject, "written_by": written_by, **_content(found)}


async def one(road: "JetStream", number: int) -> Letter:
    """Return the letter of a number; Misconfigured if there is none."""
    stored = await road.stored(streams.DEAD.name, number)
    if stored is None:
        raise Misconfigured(f"there is no dead letter {number}; see `cascade dead list`")
    return _letter(stored)


async def _letters(road: "JetStream") -> AsyncIterator[Letter]:
    number = 1
    while stored := await road.stored(streams.DEAD.name, number, subjects.DEAD_FILTER):
        yield _letter(stored)
        number = stored.sequence + 1


def _letter(stored: "Stored") -> Letter:
    return dead.letter(stored.sequence, stored.subject, stored.data, stored.headers, stored.at)


def _row(letter: Letter) -> dict[str, Any]:
    what = instance = None
    try:
        message = dead.content(letter)
        what, instance = message.method if isinstance(message, Rpc) else _what(message), message.uuid
    except Malformed:
        pass  # the reason says so
    return {
        "id": letter.number,
        "site": letter.site,
        "at": datetime.datetime.fromtimestamp(letter.at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "kind": letter.kind.value,
        "what": what,
        "instance": instance,
        "reason": letter.reason,
        "size": len(letter.data),
    }


def _what(message: Any) -> str:
    """Return the verb of a command, or what an observation says."""
    return str(message.verb if hasattr(message, "verb") else message.outcome)


def _content(letter: Letter) -> dict[str, Any]:
    try:
        message = dead.content(letter)
    except Malformed as error:
        return {"unreadable": str(error)}
    shown = {name: _shown(value) for name, value in msgspec.structs.asdict(message).items()}
    if isinstance(message, Rpc):  # Nova's own primitives: their names must do
        shown["args"] = sorted(message.args)
    del shown["uuid"]
    return {name: value for name, value in shown.items() if name != "site" and value not in (None, "", [])}


def _shown(value: Any) -> Any:
    """Return a value as plain data in which nothing sealed is opened."""
    if isinstance(value, Sealed):
        return f"sealed to key {value.key_id}"
    if isinstance(value, msgspec.Struct):
        return {name: _shown(inner) for name, inner in msgspec.structs.asdict(value).items()}
    if isinstance(value, dict):
        return {str(name): _shown(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return f"{len(value)} bytes" if isinstance(value, bytes) else value
