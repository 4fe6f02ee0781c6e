"""The driver's options, group [cascade] of Neutron's configuration."""

from oslo_config import cfg

GROUP = "cascade"
OPTIONS = [
    cfg.ListOpt(
        "hosts",
        default=["*"],
        help="Hosts that stand for sites: shell patterns (fnmatch) of Nova host names. A port is bound only if its "
        "host matches one of them and no Neutron agent, alive or dead, is registered for that host.",
    ),
]


def list_options():
    """For oslo-config-generator."""
    return [(GROUP, OPTIONS)]
