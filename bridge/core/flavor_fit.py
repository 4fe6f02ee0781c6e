"""Can a flavor work in a site at all? Said before anything is made for a boot, not found out late. Pure.

Only what does not change by the minute: whether there is room is Placement's to say.
"""

from proto import extra_specs
from proto.errors import FaultCode, Refused
from proto.messages import Capacity
from proto.specs import FlavorSpec

DEVICE_PROFILE = "accel:device_profile"


def refuse_misfit(flavor: FlavorSpec, capacity: Capacity | None) -> None:
    """Raise Refused(FLAVOR) for a flavor whose extra specs no server of this zone can have.

    ``capacity``: what the site reports of its hosts; None, or a site whose agent may not see them, proves nothing.
    """
    if DEVICE_PROFILE in flavor.extra_specs:
        profile = flavor.extra_specs[DEVICE_PROFILE]
        raise Refused(FaultCode.FLAVOR, f"device profile {profile!r} is Cyborg's and does not reach a site")
    if capacity is None or not capacity.hosts or not capacity.measured_at:
        return
    wanted = {name for name, amount in extra_specs.resources(flavor.extra_specs).items() if amount}
    for name in sorted(wanted):
        if name.startswith("CUSTOM_") and name not in capacity.classes:
            raise Refused(FaultCode.FLAVOR, f"no host of this site has resources of class {name}")
    required, _ = extra_specs.traits(flavor.extra_specs)
    missing = sorted(required - set(capacity.traits))
    if missing:
        raise Refused(FaultCode.FLAVOR, f"no host of this site has the trait {missing[0]}")
