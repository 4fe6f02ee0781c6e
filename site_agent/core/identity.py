"""The names and tags by which this site's resources are recognised as ours; they are the agent's only memory."""

import hashlib
import re
from collections.abc import Iterable

from proto.specs import FlavorSpec, KeypairSpec

_TAG = "cascade:"
_GENERATION_TAG = "cascade-generation:"
_REVISION_TAG = "cascade-revision:"
_NAME = "cascade-"
_FLAVOR_ID = re.compile(rf"{_NAME}(?P<name>.+)-v(?P<version>\d{{1,9}})")
_TEXT_DIGITS = 12
_LONGEST_NAME = 200  # characters; Nova and Glance take 255


def tag(identity: str) -> str:
    """Tag of whatever stands for one thing above: a server, port, network or subnet."""
    return f"{_TAG}{identity}"


def generation_tag(generation: int) -> str:
    """Tag of a server that names the command which created it."""
    return f"{_GENERATION_TAG}{generation}"


def revision_tag(revision: int) -> str:
    """Tag of a security group that names the revision above whose rules it has."""
    return f"{_REVISION_TAG}{revision}"


def revision_of(tags: Iterable[str]) -> int:
    """The revision these tags name; -1 for a group whose rules were never complete."""
    numbers = [text[len(_REVISION_TAG) :] for text in tags if text.startswith(_REVISION_TAG)]
    return next((int(number) for number in numbers if number.isdecimal()), -1)


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
    return _flavor_id(spec.flavor_id, spec.version)


def flavor_of(here: str, description: str | None) -> tuple[str, int] | None:
    """Return flavor id above and version of a flavor in the site, None if it is not one we made.

    The description says which flavor above it stands for. Novas before 2.55 show none: there the id must do, which
    does not tell for very long ones.
    """
    match = _FLAVOR_ID.fullmatch(here)
    if match is None or (description and not is_ours(description)):
        return None
    source = description.removeprefix(_TAG) if description else match["name"]
    version = int(match["version"])
    return (source, version) if here == _flavor_id(source, version) else None


def _flavor_id(source: str, version: int) -> str:
    return _short(f"{_NAME}{source}", f"-v{version}")


def keypair_name(spec: KeypairSpec) -> str:
    """Name of a keypair in the site: the same key has the same name, whoever brings it under whatever name."""
    return keypair_named(spec.fingerprint, spec.type, spec.public_key)


def keypair_named(fingerprint: str, kind: str, public_key: str) -> str:
    """Name that we give to a keypair; one of another name is not of our making.

    The text is part of it: guests see all of it, and two tenants' texts of one key may end in different comments.
    """
    text = hashlib.sha256(public_key.strip().encode()).hexdigest()[:_TEXT_DIGITS]
    return _short(f"{_NAME}{fingerprint.replace(':', '')}-{text}", "" if kind == "ssh" else f"-{kind}")


def _short(text: str, ending: str) -> str:
    return text + ending if len(text) + len(ending) <= _LONGEST_NAME else _hashed(text) + ending


def _hashed(text: str) -> str:
    return f"{_NAME}{hashlib.sha256(text.encode()).hexdigest()}"
