"""What no site can carry out is refused with Nova's own error; nothing is stuck, and the server stays usable."""

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.stack import Stack
from tests.e2e.as_nova import as_nova
from tests.e2e.clouds import CHANGE, Tenant, User, eventually

ACTION = "/servers/{server}/action"
CONSOLES = "/servers/{server}/remote-consoles"
HOST = "/os-hosts/paris"
LIVE = {"host": None, "block_migration": "auto"}
# method, path, body, microversion, status
REFUSED: dict[str, tuple[str, str, Any, str, int]] = {
    "live migration": ("post", ACTION, {"os-migrateLive": LIVE}, "2.33", 400),
    "live migration, told later": ("post", ACTION, {"os-migrateLive": {**LIVE, "host": "oslo"}}, "2.96", 202),
    "crash dump": ("post", ACTION, {"trigger_crash_dump": None}, "2.96", 202),
    "MKS": ("post", CONSOLES, {"remote_console": {"protocol": "mks", "type": "webmks"}}, "2.96", 400),
    "SPICE": ("post", CONSOLES, {"remote_console": {"protocol": "spice", "type": "spice-html5"}}, "2.96", 400),
    "serial": ("post", CONSOLES, {"remote_console": {"protocol": "serial", "type": "serial"}}, "2.96", 400),
    "host reboot": ("get", f"{HOST}/reboot", None, "2.42", 501),
    "host shutdown": ("get", f"{HOST}/shutdown", None, "2.42", 501),
    "host start": ("get", f"{HOST}/startup", None, "2.42", 501),
    "host maintenance": ("put", HOST, {"maintenance_mode": "enable"}, "2.42", 501),
}
# RPCs that no REST call of the demo leads to (it has no volumes), or that only a newer Nova will send.
CALLS = """
import oslo_messaging
target = oslo_messaging.Target(topic="compute", version="6.0")
client = rpc.get_client(target, serializer=objects.base.NovaObjectSerializer()).prepare(server=instance.host)
seen = {}
for method, arguments in {
    "reserve_block_device_name": {"device": None, "volume_id": instance.uuid},
    "quiesce_instance": {},
    "do_what_nobody_knows_yet": {},
    "swap_volume_of_tomorrow": {"old_volume_id": instance.uuid},
}.items():
    try:
        client.call(admin, method, instance=instance, **arguments)
    except Exception as error:
        seen[method] = type(error).__name__.removesuffix("_Remote")
client.cast(admin, "swap_volume", instance=instance, old_volume_id=instance.uuid, new_volume_id=instance.uuid)
client.cast(admin, "do_what_nobody_knows_yet", instance=instance)
answer(seen)
"""


@pytest.fixture(scope="module")
def server(tenant: Tenant) -> Iterator[str]:
    """A server in paris."""
    uuid = tenant.boot("e2e-refused", "az-paris")
    tenant.wait_status(uuid, "ACTIVE")
    yield uuid
    tenant.delete(uuid)


def check_usable(tenant: Tenant, uuid: str) -> None:
    """The server can still be stopped and started."""
    for action, status in (("os-stop", "SHUTOFF"), ("os-start", "ACTIVE")):
        answer = tenant.action(uuid, {action: None})
        assert answer.status_code == 202, answer.text
        tenant.wait_status(uuid, status, CHANGE)


def settled(operator: User, uuid: str) -> bool:
    """Whether the server is active, no task is left, and its newest action is over."""
    shown = operator.server(uuid)
    actions = operator.get("compute", f"/servers/{uuid}/os-instance-actions")["instanceActions"]
    events = operator.get("compute", f"/servers/{uuid}/os-instance-actions/{actions[0]['request_id']}")
    over = all(event["finish_time"] for event in events["instanceAction"]["events"])
    return (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", None) and over


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_and_nothing_is_stuck(operator: User, server: str, what: str) -> None:
    method, path, body, microversion, status = REFUSED[what]
    call = getattr(operator.connection.compute, method)
    answer = call(path.format(server=server), microversion=microversion, **({"json": body} if body else {}))
    assert answer.status_code == status, answer.text
    eventually(lambda: settled(operator, server), CHANGE, f"{what} does not end")


def test_rpcs_without_a_row(stack: Stack, tenant: Tenant, operator: User, server: str) -> None:
    assert as_nova(stack, server, CALLS) == {
        "reserve_block_device_name": "InvalidVolume",
        "quiesce_instance": "InstanceQuiesceNotSupported",
        "do_what_nobody_knows_yet": "NotImplementedError",
        "swap_volume_of_tomorrow": "NotImplementedError",
    }
    check_usable(tenant, server)
    assert settled(operator, server)
