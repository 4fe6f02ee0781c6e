"""Every etcd key, built and parsed only here."""

PREFIX = "/cascade/v1"
SITES = f"{PREFIX}/sites/"  # what every bridge watches: few keys, seldom written
HELD = f"{PREFIX}/held/"  # what only a site's owner writes and reads: many keys
BRIDGES = f"{PREFIX}/bridges/"  # what every bridge watches: one key for each that lives
FLAVORS = f"{PREFIX}/flavors/"  # what every bridge watches and may count up


def spec(site: str) -> str:
    """SiteSpec; written by ``cascade site``."""
    return f"{SITES}{site}/spec"


def owner(site: str) -> str:
    """Owner, under the bridge's lease."""
    return f"{SITES}{site}/owner"


def site_of_owner(key: str) -> str | None:
    """Return the site whose owner this key names, or None if it is another key."""
    site, _, rest = key.removeprefix(SITES).partition("/")
    return site if key.startswith(SITES) and rest == "owner" else None


def bridge(lease: str) -> str:
    """LiveBridge, under the lease with this id (hexadecimal)."""
    return f"{BRIDGES}{lease}"


def alive(site: str) -> str:
    """Last SiteStatus, under a lease of its own; written by the owner on the site's behalf."""
    return f"{HELD}{site}/alive"


def census(site: str) -> str:
    """CensusFigures."""
    return f"{HELD}{site}/census"


def life(site: str) -> str:
    """SiteLife; written by the owner."""
    return f"{HELD}{site}/life"


def site_of_spec(key: str) -> str | None:
    """Return the site whose spec this key holds, or None if it is another key."""
    site, _, rest = key.removeprefix(SITES).partition("/")
    return site if key.startswith(SITES) and rest == "spec" else None


def instances(site: str) -> str:
    """Prefix of a site's instance records."""
    return f"{HELD}{site}/instances/"


def instance(site: str, uuid: str) -> str:
    """InstanceRecord."""
    return f"{instances(site)}{uuid}"


def quarantine(site: str) -> str:
    """Prefix of the servers of a site that an operator has to decide about."""
    return f"{HELD}{site}/quarantine/"


def quarantined(site: str, server_id: str) -> str:
    """Quarantined."""
    return f"{quarantine(site)}{server_id}"


def brake(site: str) -> str:
    """Braked; there only while healing waits for an operator."""
    return f"{HELD}{site}/brake"


def site(name: str) -> str:
    """Prefix of a site's enrolment and owner."""
    return f"{SITES}{name}/"


def held(name: str) -> str:
    """Prefix of all that a site's owner keeps about it."""
    return f"{HELD}{name}/"


def flavor(flavor_id: str) -> str:
    """FlavorVersion; any bridge, by compare-and-set."""
    return f"{FLAVORS}{flavor_id}"


def site_flavors(name: str) -> str:
    """Prefix of what a site has of the flavors."""
    return f"{HELD}{name}/flavors/"


def site_flavor(name: str, flavor_id: str) -> str:
    """SiteFlavor."""
    return f"{site_flavors(name)}{flavor_id}"
