"""Commands of a bridge that is newer than this agent: read as far as it takes to refuse what is not known here."""

from typing import cast

import msgspec

from proto import codec, messages
from proto.errors import Malformed
from proto.operations import Verb


class Command(msgspec.Struct, frozen=True):
    """What every command has, whatever its verb needs beside it; its name is the kind on the wire."""

    site: str
    uuid: str
    generation: int
    epoch: int
    verb: str
    request_id: str = ""


def command(data: bytes) -> messages.Command:
    """Return a command; one of a verb that no row names holds that verb as it is. Malformed if it is none."""
    try:
        return codec.decode(data, messages.Command)
    except Malformed:
        found = codec.decode(data, Command)
        if found.verb in set(Verb):
            raise
    verb = cast(Verb, found.verb)
    return messages.Command(
        found.site, found.uuid, found.generation, found.epoch, verb, 0.0, None, request_id=found.request_id
    )
