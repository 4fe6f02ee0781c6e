"""Neutron ML2 mechanism driver of a pretended site: binds every port, and makes DHCP ports as a DHCP agent would.

Runs inside neutron-api of the sites (`mechanism_drivers = devcloud`).
"""

from concurrent.futures import ThreadPoolExecutor

from neutron_lib import constants, context
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import directory, utils
from neutron_lib.plugins.ml2 import api
from oslo_log import log

LOG = log.getLogger(__name__)
NETWORK_HOST = "network-node"
VIF_DETAILS = {
    portbindings.CAP_PORT_FILTER: True,
    portbindings.OVS_HYBRID_PLUG: False,
    portbindings.VIF_DETAILS_BRIDGE_NAME: "br-int",
    portbindings.VIF_DETAILS_CONNECTIVITY: portbindings.CONNECTIVITY_L2,
}


class DevcloudMechanismDriver(api.MechanismDriver):
    """Binds with vif_type ovs on any host; the explicit ACTIVE makes Neutron send network-vif-plugged to Nova."""

    def initialize(self):
        self._agent = ThreadPoolExecutor(1, thread_name_prefix="dhcp")
        registry.subscribe(self._subnet_changed, resources.SUBNET, events.AFTER_CREATE)
        registry.subscribe(self._subnet_changed, resources.SUBNET, events.AFTER_UPDATE)

    @property
    def connectivity(self):
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, port_context):
        segment = port_context.segments_to_bind[0]
        port_context.set_binding(
            segment[api.ID], portbindings.VIF_TYPE_OVS, dict(VIF_DETAILS), status=constants.PORT_STATUS_ACTIVE
        )

    def _subnet_changed(self, resource, event, trigger, payload):
        subnet = payload.latest_state
        if subnet["enable_dhcp"]:
            self._agent.submit(self._serve, dict(subnet))

    def _serve(self, subnet):
        """What a DHCP agent does when it hears of a subnet: one port per network, one address per subnet."""
        try:
            ensure_dhcp_port(subnet)
        except Exception:
            LOG.exception("no DHCP port for subnet %s", subnet["id"])


def ensure_dhcp_port(subnet):
    """Makes the network's DHCP port or gives it an address of this subnet too. May be repeated."""
    admin, plugin = context.get_admin_context(), directory.get_plugin()
    network_id = subnet["network_id"]
    wanted = {"subnet_id": subnet["id"]}
    filters = {"network_id": [network_id], "device_owner": [constants.DEVICE_OWNER_DHCP]}
    for port in plugin.get_ports(admin, filters=filters):
        if all(address["subnet_id"] != subnet["id"] for address in port["fixed_ips"]):
            plugin.update_port(admin, port["id"], {"port": {"fixed_ips": [*port["fixed_ips"], wanted]}})
        return
    port = {
        "name": "",
        "network_id": network_id,
        "tenant_id": subnet["tenant_id"],
        "project_id": subnet["tenant_id"],
        "admin_state_up": True,
        "fixed_ips": [wanted],
        "mac_address": constants.ATTR_NOT_SPECIFIED,
        "device_id": f"dhcp-{NETWORK_HOST}-{network_id}",
        "device_owner": constants.DEVICE_OWNER_DHCP,
        portbindings.HOST_ID: NETWORK_HOST,
    }
    utils.create_port(plugin, admin, {"port": port})
