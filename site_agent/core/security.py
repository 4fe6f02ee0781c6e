"""Security groups: how their rules above and in the site differ, and which of them nothing needs any more."""

from collections.abc import Iterable, Mapping
from typing import Any

from proto.specs import SecurityGroupRuleSpec, SecurityGroupSpec

RuleKey = tuple[str | int | None, ...]

_DEFAULT = "default"  # the one name Neutron keeps for itself


def site_name(spec: SecurityGroupSpec) -> str:
    """Return the name of a group in the site."""
    return f"cascade-{spec.name}" if spec.name.lower() == _DEFAULT else spec.name


def rule_differences(
    spec: SecurityGroupSpec, found: Iterable[Mapping[str, Any]], ids: Mapping[str, str]
) -> tuple[list[SecurityGroupRuleSpec], list[str]]:
    """Return the rules a group of the site lacks, and the ids of those it has too many.

    ``found``: the group's rules as Neutron shows them; ``ids``: group above -> group in the site. Descriptions do not
    count: Neutron takes two rules that differ in nothing else for the same.
    """
    wanted = {_wanted_key(rule, ids): rule for rule in spec.rules}
    present = {_found_key(rule): str(rule["id"]) for rule in found}
    missing = [rule for key, rule in wanted.items() if key not in present]
    return missing, [rule_id for key, rule_id in present.items() if key not in wanted]


def rule_body(rule: SecurityGroupRuleSpec, group_id: str, ids: Mapping[str, str]) -> dict[str, Any]:
    """Return a rule as Neutron takes it."""
    return {
        "security_group_id": group_id,
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": rule.protocol,
        "port_range_min": rule.port_range_min,
        "port_range_max": rule.port_range_max,
        "remote_ip_prefix": rule.remote_ip_prefix,
        "remote_group_id": ids[rule.remote_group_id] if rule.remote_group_id else None,
        "description": rule.description,
    }


def remotes(specs: Iterable[SecurityGroupSpec]) -> set[str]:
    """Return the groups above that rules of these groups name."""
    return {rule.remote_group_id for spec in specs for rule in spec.rules if rule.remote_group_id}


def needed(present: Iterable[str], specs: Mapping[str, SecurityGroupSpec]) -> set[str]:
    """Return ``present`` and every group that is named, directly or not, by their rules; all are ids above."""
    reached: set[str] = set()
    following = set(present)
    while following:
        reached |= following
        following = remotes(specs[group] for group in following if group in specs) - reached
    return reached


def unused(groups: Mapping[str, Iterable[Mapping[str, Any]]], used: Iterable[str]) -> set[str]:
    """Return the groups of the site that no port has and no rule of a group that stays names.

    ``groups``: group in the site -> its rules; ``used``: groups that ports have.
    """
    return groups.keys() - reached(groups, used)


def reached(groups: Mapping[str, Iterable[Mapping[str, Any]]], start: Iterable[str]) -> set[str]:
    """Return those of ``start`` that are groups of the site, and every group that is named from there."""
    found: set[str] = set()
    following = set(start) & groups.keys()
    while following:
        found |= following
        following = {other for group in following for other in named(groups, group)} - found
    return found


def named(groups: Mapping[str, Iterable[Mapping[str, Any]]], group: str) -> set[str]:
    """Return the groups of the site that a group's rules name, perhaps itself."""
    return {str(rule.get("remote_group_id")) for rule in groups[group]} & groups.keys()


def next_to_go(going: Iterable[str], groups: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """Return one that no other one names; any of them where they name each other in a ring. ``going`` is not empty."""
    left = sorted(going)
    return next((one for one in left if not any(one in named(groups, o) for o in left if o != one)), left[0])


def _wanted_key(rule: SecurityGroupRuleSpec, ids: Mapping[str, str]) -> RuleKey:
    return (
        rule.direction,
        rule.ethertype,
        rule.protocol,
        rule.port_range_min,
        rule.port_range_max,
        rule.remote_ip_prefix,
        ids[rule.remote_group_id] if rule.remote_group_id else None,
        None,
    )


def _found_key(rule: Mapping[str, Any]) -> RuleKey:
    fields = ("protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id")
    return (
        str(rule["direction"]),
        str(rule["ethertype"]),
        *(rule.get(field) for field in fields),
        rule.get("remote_address_group_id"),
    )
