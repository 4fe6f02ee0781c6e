"""What a flavor's extra specs ask of Placement, read as Nova 34 does (scheduler/utils.py, ResourceRequest)."""

import re
from collections.abc import Mapping

_RESOURCES = re.compile(r"resources\w*:([A-Z0-9_]+)")
_TRAIT = re.compile(r"trait\w*:([A-Z0-9_]+)")


def resources(specs: Mapping[str, str]) -> dict[str, int]:
    """Return resource class -> amount that ``resources:`` names, numbered groups added up; 0 takes a class away."""
    found: dict[str, int] = {}
    for key, value in specs.items():
        match = _RESOURCES.fullmatch(key)
        if match and value.isdecimal():
            found[match[1]] = found.get(match[1], 0) + int(value)
    return found


def traits(specs: Mapping[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the traits a host must have and those it must not have."""
    found = [(match[1], value) for key, value in specs.items() if (match := _TRAIT.fullmatch(key))]
    required = frozenset(name for name, value in found if value == "required")
    return required, frozenset(name for name, value in found if value == "forbidden")
