"""Flavors: one immutable flavor in the site for each version of a flavor above."""

import logging

from proto.errors import FaultCode, Refused
from proto.specs import FlavorSpec
from site_agent.core import identity, rights
from site_agent.core.answers import problem
from site_agent.core.matching import Flavor, flavor_difference, nearest_flavor
from site_agent.site import Site

LOG = logging.getLogger(__name__)


async def ensure_flavor(site: Site, spec: FlavorSpec) -> str:
    """Return the id of the site's flavor for one version above; may be repeated, and by many at once.

    Looks by id, creates, looks again. Where the agent may not create flavors, an existing one that matches exactly
    will do; else Refused(FLAVOR) names the field that differs.
    """
    flavor_id = await site.shelf.get(shelf_key(spec), lambda: _ensure(site, spec))
    site.stock.has(spec)
    return flavor_id


def shelf_key(spec: FlavorSpec) -> tuple[str, ...]:
    """Key of the flavor among the remembered ids."""
    return ("flavor", identity.flavor_id(spec))


async def _ensure(site: Site, spec: FlavorSpec) -> str:
    flavor_id = identity.flavor_id(spec)
    found = await site.flavors.get(flavor_id)
    if found is None:
        answer = await site.flavors.create(flavor_id, spec)
        if answer.status == 403:
            site.problems.degrade("flavors", str(rights.FLAVORS.without))
            return await _existing(site, spec)
        if not answer.ok and answer.status != 409:
            raise problem(answer, FaultCode.FLAVOR)
        LOG.info("made flavor %s", flavor_id)
        found = await _opened(site, spec, flavor_id)
    if found is None:
        raise Refused(FaultCode.FLAVOR, f"the site has a flavor {flavor_id} but does not show it")
    return await _completed(site, spec, found)


async def _opened(site: Site, spec: FlavorSpec, flavor_id: str) -> Flavor | None:
    """Finish a flavor that was made just now; one whose extra specs the site refuses does not stay half done."""
    await site.flavors.give_access(flavor_id)
    try:
        await site.flavors.set_extra_specs(flavor_id, spec.extra_specs)
    except Refused as error:  # Nova does not say which one it means
        await site.flavors.delete(flavor_id)
        names = ", ".join(sorted(spec.extra_specs))
        raise Refused(
            error.code, f"the site refuses an extra spec of {spec.name} ({names}): {error.message}"
        ) from error
    return await site.flavors.get(flavor_id)


async def _completed(site: Site, spec: FlavorSpec, found: Flavor) -> str:
    """Extra specs are a second call: an agent that died between the two left a flavor without some of them."""
    specs = found.extra_specs or {}
    missing = {key: value for key, value in spec.extra_specs.items() if key not in specs}
    if missing:
        await site.flavors.set_extra_specs(found.flavor_id, missing)
        found = await site.flavors.get(found.flavor_id) or found
    difference = flavor_difference(spec, found)
    if difference:
        raise Refused(FaultCode.FLAVOR, f"flavor {found.flavor_id} was changed in the site: {difference}")
    return found.flavor_id


async def _existing(site: Site, spec: FlavorSpec) -> str:
    flavor, reason = nearest_flavor(spec, await site.flavors.list())
    if flavor is None:
        raise Refused(FaultCode.FLAVOR, f"no flavor here equals {spec.name}, and the agent may not make one: {reason}")
    return flavor.flavor_id
