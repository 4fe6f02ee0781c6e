"""The names and tags by which this site's resources are recognised as ours; they are the agent's only memory."""

import hashlib
from collections.abc import Iterable

from proto.messages import FlavorSpec, KeypairSpec

_TAG = "cascade:"
_GENERATION_TAG = "cascade-generation:"
_NAME = "cascade-"
_LONGEST_NAME = 200  # characters; Nova and Glance take 255


def tag(identity: str) -> str:
    """Tag of whatever stands for one thing above: a server, port, network or subnet."""
    return f"{_TAG}{identity}"


def generation_tag(generation: int) -> str:
    """Tag of a server that names the command which created it."""
    return f"{_GENERATION_TAG}{generation}"


def is_ours(description: str | None) -> bool:
    """Whether a description is the identity of something made for a thing above."""
    return bool(description) and str(description).startswith(_TAG)


def uuid_of(tags: Iterable[str]) -> str:
    """The instance above that these tags name; empty for a server that is not ours."""
    return next((text[len(_TAG) :] for text in tags if text.startswith(_TAG)), "")


def generation_of(tags: Iterable[str]) -> int:
    """The generation of the create that these tags name; 0 if they name none."""
    numbers = [text[len(_GENERATION_TAG) :] for text in tags if text.startswith(_GENERATION_TAG)]
    return next((int(number) for number in numbers if number.isdecimal()), 0)


def flavor_id(spec: FlavorSpec) -> str:
    """Name and id of one version of a flavor in the site; Nova above allows the same characters in ids as below."""
    return _short(f"{_NAME}{spec.flavor_id}", f"-v{spec.version}")


def keypair_name(spec: KeypairSpec) -> str:
    """Name of a keypair in the site: the same key has the same name, whoever brings it."""
    return _short(f"{_NAME}{spec.fingerprint.replace(':', '')}", "" if spec.type == "ssh" else f"-{spec.type}")


def _short(text: str, ending: str) -> str:
    if len(text) + len(ending) <= _LONGEST_NAME:
        return text + ending
    return f"{_NAME}{hashlib.sha256(text.encode()).hexdigest()}{ending}"
