"""Security groups: a copy of each group above, known by its description; its tag says which revision it equals."""

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from proto.errors import FaultCode, Refused, Unavailable
from proto.specs import SecurityGroupSpec
from site_agent.core import identity
from site_agent.core.security import (
    named,
    next_to_go,
    reached,
    remotes,
    rule_body,
    rule_differences,
    site_name,
    unused,
)
from site_agent.edge.networks import Resource, made
from site_agent.site import Site

LOG = logging.getLogger(__name__)

KIND = "security-groups"


async def ensure_security_groups(site: Site, specs: Iterable[SecurityGroupSpec]) -> Mapping[str, str]:
    """Return group above -> group in the site, each with the rules of its spec or of a newer revision.

    May be repeated, by many at once. First all groups, then all rules, as groups may name each other; ``specs`` hold
    every group that a rule names, else Refused. Refused too if the site cannot hold what a group asks for.
    """
    ids = {spec.group_id: await ensure_bare_group(site, spec) for spec in specs}
    for spec in specs:
        key = (*_shelf_key(spec), str(spec.revision))
        await site.shelf.get(key, partial(make_group_equal, site, spec, ids, look=False))
    return ids


async def ensure_bare_group(site: Site, spec: SecurityGroupSpec) -> str:
    """Return the id of the site's copy of a group, made if need be; its rules may be anything yet."""
    return await site.shelf.get(_shelf_key(spec), lambda: _bare(site, spec))


async def make_group_equal(site: Site, spec: SecurityGroupSpec, ids: Mapping[str, str], *, look: bool) -> str:
    """Give the site's copy of a group the rules of its spec; return its id. May be repeated.

    A copy that has a newer revision stays; one of the same revision is believed to be equal unless ``look`` is set.
    ``ids``: group above -> group in the site. Unavailable if the copy is gone.
    """
    async with site.locks[spec.group_id]:
        group = await find_security_group(site, spec.group_id)
        if group is None:
            raise _lost(site, spec)
        here = identity.revision_of(group.tags)
        if here > spec.revision or (here == spec.revision and not look):
            return group.id
        try:
            await _change(site, group, spec, ids)
            if here != spec.revision:
                tags = [identity.tag(spec.group_id), identity.revision_tag(spec.revision)]
                await site.networks.set_tags(KIND, group.id, tags)
        except Refused as error:
            for group_id in {spec.group_id} | remotes([spec]):
                if await find_security_group(site, group_id) is None:  # the last server that used it just left
                    raise _lost(site, spec) from error
            raise
        return group.id


def _lost(site: Site, spec: SecurityGroupSpec) -> Unavailable:
    site.shelf.clear()
    return Unavailable(f"security group {spec.name} was removed from the site: making it anew", retry_after=0.5)


async def find_security_group(site: Site, group_id: str) -> Resource | None:
    """Return what stands for a group above: of two that two agents made at once the older."""
    found = await site.networks.find(KIND, description=identity.tag(group_id))
    return found[0] if found else None


async def drop_unused_security_groups(site: Site) -> list[str]:
    """Delete our groups that no port and no rule of a group in use needs; return their ids above. May be repeated.

    A boot that is just about to use one finds it gone and makes it anew; one that was faster makes Neutron refuse.
    Neutron deletes with a group the rules that name it, so those that name others go first, and what a group names that
    stays after all stays too.
    """
    ours = [group for group in await site.networks.find(KIND) if identity.is_ours(group.fields.get("description"))]
    rules = {group.id: group.fields["security_group_rules"] for group in ours}
    going, gone = unused(rules, await _used(site, ours)), set[str]()
    groups = {group.id: group for group in ours}
    while going:
        group_id = next_to_go(going, rules)
        if await _deleted(site, groups[group_id]):
            going, gone = going - {group_id}, gone | {group_id}
            continue
        going -= reached(rules, [group_id])
        if named(rules, group_id) & gone:  # two that name each other: it lost a rule and must be made equal anew
            await site.networks.set_tags(KIND, group_id, [str(groups[group_id].fields["description"])])
    if gone:
        site.shelf.clear()
    return [identity.uuid_of([str(group.fields["description"])]) for group in ours if group.id in gone]


def forget_security_groups(site: Site, specs: Iterable[SecurityGroupSpec]) -> None:
    """Look anew at the next call: the site does not know a group any more."""
    for spec in specs:
        site.shelf.drop(_shelf_key(spec))
        site.shelf.drop((*_shelf_key(spec), str(spec.revision)))


async def _used(site: Site, groups: Iterable[Resource]) -> set[str]:
    """Return the ids of the groups that any port has; where Neutron cannot filter by group all ports are read."""
    if await site.networks.has("port-security-groups-filtering"):
        return {g.id for g in groups if await site.networks.find("ports", security_groups=g.id, limit="1")}
    ports = await site.networks.find("ports")
    return {group_id for port in ports for group_id in port.fields.get("security_groups") or ()}


async def _deleted(site: Site, group: Resource) -> bool:
    try:
        await site.networks.delete(KIND, group.id)
    except Refused as error:
        LOG.info("security group %s stays: %s", group.id, error)
        return False
    LOG.info("security group %s is not used any more and is deleted", group.id)
    return True


def _shelf_key(spec: SecurityGroupSpec) -> tuple[str, str]:
    return ("security group", spec.group_id)


async def _bare(site: Site, spec: SecurityGroupSpec) -> str:
    if not await site.networks.has("security-group"):
        raise Refused(FaultCode.NETWORK, "the site's Neutron has no security groups")
    found = await find_security_group(site, spec.group_id)
    if found is not None:
        return found.id
    fields: dict[str, Any] = {"name": site_name(spec)}
    if not spec.stateful:
        await _must_know_stateless(site, spec)
        fields["stateful"] = False
    mine = made(await site.networks.create(KIND, identity.tag(spec.group_id), fields), KIND)
    oldest = await find_security_group(site, spec.group_id) or mine
    if oldest.id != mine.id:
        LOG.warning("security group %s was made twice: %s goes, %s stays", spec.group_id, mine.id, oldest.id)
        await site.networks.delete(KIND, mine.id)
    LOG.info("made security group %s for %s", oldest.id, spec.group_id)
    return oldest.id


async def _change(site: Site, group: Resource, spec: SecurityGroupSpec, ids: Mapping[str, str]) -> None:
    if lacking := remotes([spec]) - ids.keys():
        raise Refused(FaultCode.NETWORK, f"security group {spec.name} names {min(lacking)}, which was not described")
    missing, surplus = rule_differences(spec, group.fields["security_group_rules"], ids)
    added = await site.networks.add_rules([rule_body(rule, group.id, ids) for rule in missing])
    for rule_id in set(surplus) - added.there:  # also when some are refused: what was revoked must not stay open
        await site.networks.delete("security-group-rules", rule_id)
    again = await site.networks.add_rules([rule for rule, _ in added.refused])  # there may be room for them now
    for _, refusal in again.refused:
        raise refusal
    if missing or surplus:
        LOG.info("security group %s: %d rules more, %d less", group.id, len(missing), len(surplus))
    changes: dict[str, Any] = {}
    if group.fields.get("name") != site_name(spec):
        changes["name"] = site_name(spec)
    if bool(group.fields.get("stateful", True)) != spec.stateful:
        await _must_know_stateless(site, spec)
        changes["stateful"] = spec.stateful
    if changes:
        await site.networks.update(KIND, group.id, changes)


async def _must_know_stateless(site: Site, spec: SecurityGroupSpec) -> None:
    if not await site.networks.has("stateful-security-group"):
        raise Refused(FaultCode.NETWORK, f"security group {spec.name} is stateless, which the site does not know")
