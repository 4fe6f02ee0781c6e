"""The mechanism driver."""

from fnmatch import fnmatchcase

from neutron_lib import constants, context
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import directory
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg
from oslo_log import log

from cascade_ml2 import options

LOG = log.getLogger(__name__)

VIF_DETAILS = {
    portbindings.CAP_PORT_FILTER: True,  # security groups are enforced in the site
    portbindings.OVS_HYBRID_PLUG: False,
    portbindings.VIF_DETAILS_CONNECTIVITY: portbindings.CONNECTIVITY_L2,
}


def is_wanted(host, patterns):
    """Whether the operator lists this host as one that may stand for a site."""
    return any(fnmatchcase(host, pattern) for pattern in patterns)


class CascadeMechanismDriver(api.MechanismDriver):
    """Binds a port without wiring anything: the wiring is done by the site's own Neutron.

    The explicit status ACTIVE is saved in the same transaction as the binding, which makes Neutron send
    network-vif-plugged to Nova.
    """

    def initialize(self):
        cfg.CONF.register_opts(options.OPTIONS, options.GROUP)

    @property
    def connectivity(self):
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, port_context):
        """Binds to the network's first segment if the port's host is a site; leaves every other port to others."""
        host = port_context.host
        vnic_type = port_context.current.get(portbindings.VNIC_TYPE, portbindings.VNIC_NORMAL)
        if vnic_type != portbindings.VNIC_NORMAL or not is_wanted(host, cfg.CONF.cascade.hosts):
            return
        if has_agent(host):
            LOG.debug("port %s: host %s has a Neutron agent, so it is no site", port_context.current["id"], host)
            return
        segment = port_context.segments_to_bind[0]
        port_context.set_binding(
            segment[api.ID], portbindings.VIF_TYPE_OVS, dict(VIF_DETAILS), status=constants.PORT_STATUS_ACTIVE
        )


def has_agent(host):
    """Whether any Neutron agent is registered for a host: then it is an ordinary host, even while its agent is down.

    Asks the plugin's own method, which OVN replaces by one that knows its chassis.
    """
    return bool(directory.get_plugin().get_agents(context.get_admin_context(), filters={"host": [host]}))
