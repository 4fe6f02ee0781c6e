"""Keypairs: matched by fingerprint, type and text, never by the name they have above (names are per user there)."""

import logging

from proto.errors import FaultCode, Refused
from proto.specs import KeypairSpec
from site_agent.core import identity
from site_agent.core.answers import problem
from site_agent.site import Site

LOG = logging.getLogger(__name__)


async def ensure_keypair(site: Site, spec: KeypairSpec) -> str:
    """Return the name of the site's keypair with this public key; may be repeated, and by many at once."""
    return await site.shelf.get(shelf_key(spec), lambda: _ensure(site, spec))


def shelf_key(spec: KeypairSpec) -> tuple[str, ...]:
    """Key of the keypair among the remembered ids."""
    return ("keypair", identity.keypair_name(spec))


async def _ensure(site: Site, spec: KeypairSpec) -> str:
    name = identity.keypair_name(spec)
    present = await site.keypairs.get(name)
    if present and present.holds(spec):
        return name
    if alike := [pair.name for pair in await site.keypairs.list() if pair.holds(spec)]:
        return min(alike)
    answer = await site.keypairs.create(name, spec)
    if not answer.ok and answer.status != 409:
        raise problem(answer, FaultCode.KEYPAIR)
    made = await site.keypairs.get(name)
    if made is None or not made.holds(spec):
        raise Refused(FaultCode.KEYPAIR, f"keypair {name} in the site holds another key than {spec.fingerprint}")
    LOG.info("made keypair %s", name)
    return name
