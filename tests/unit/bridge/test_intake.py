"""What is stored of a Nova RPC: one message an instance, and no secret in any of them."""

from typing import Any

import pytest

from bridge import intake
from bridge.edge.nova_rpc import IncomingRpc
from proto import codec
from proto.messages import Rpc
from proto.sealing import PrivateKey
from proto.specs import ServerSecrets
from tests.fakes.conductor import wrapped
from tests.unit.bridge.cases import T0, UUID

KEY = PrivateKey.generate()
SECRETS = {
    "token": "gAAAAABtoken",
    "catalog": "https://keystone.example",
    "user data": "I2Nsb3VkLWNvbmZpZw==",
    "password": "hunter2",
    "file": "c2VjcmV0IGZpbGU=",
    "new password": "correct horse",
}
CONTEXT: dict[str, Any] = {
    "request_id": "req-1",
    "user_id": "user-1",
    "project_id": "project-1",
    "is_admin": False,
    "roles": ["member"],
    "read_deleted": "no",
    "auth_token": SECRETS["token"],
    "service_catalog": [{"endpoints": [{"publicURL": SECRETS["catalog"]}]}],
    "user_auth_plugin": SECRETS["token"],
    "trace_info": None,
}


def incoming(method: str, is_call: bool = False, **args: Any) -> IncomingRpc:
    return IncomingRpc("paris", method, "rpc-1", CONTEXT, args, is_call, redelivered=True)


def boot() -> IncomingRpc:
    instance = wrapped(
        "Instance", uuid=UUID, user_data=SECRETS["user data"], admin_pass=SECRETS["password"], name="web"
    )
    return incoming(
        "build_and_run_instance",
        instance=instance,
        admin_password=SECRETS["password"],
        injected_files=[["/etc/motd", SECRETS["file"]]],
        filter_properties={"retry": {"num_attempts": 1}},
    )


def split(rpc: IncomingRpc) -> list[Rpc]:
    return intake.split(rpc, KEY.public(), T0)


def test_an_rpc_becomes_one_message() -> None:
    (rpc,) = split(boot())
    assert (rpc.rpc_id, rpc.host, rpc.method, rpc.uuid) == ("rpc-1", "paris", "build_and_run_instance", UUID)
    assert (rpc.received_at, rpc.redelivered) == (T0, True)
    assert rpc.args["filter_properties"] == {"retry": {"num_attempts": 1}}
    assert rpc.args["instance"]["nova_object.data"]["name"] == "web"


def test_the_context_keeps_what_conductor_calls_need() -> None:
    (rpc,) = split(boot())
    assert rpc.context == {
        key: CONTEXT[key] for key in ("request_id", "user_id", "project_id", "is_admin", "roles")
    } | {"read_deleted": "no"}


@pytest.mark.parametrize(
    "rpc",
    [
        boot(),
        incoming("set_admin_password", instance=wrapped("Instance", uuid=UUID), new_pass=SECRETS["new password"]),
        incoming("rescue_instance", instance=wrapped("Instance", uuid=UUID), rescue_password=SECRETS["new password"]),
        incoming("rebuild_instance", instance=wrapped("Instance", uuid=UUID), new_pass=SECRETS["new password"],
                 injected_files=[["/x", SECRETS["file"]]]),
        incoming("terminate_instance", instance=wrapped("Instance", uuid=UUID), bdms=[
            wrapped("BlockDeviceMapping", connection_info='{"auth_password": "hunter2"}')]),
        incoming("external_instance_event", events=[wrapped("InstanceExternalEvent", name="network-changed",
                                                            instance_uuid=UUID)]),
    ],
    ids=lambda rpc: rpc.method,
)  # fmt: skip
def test_no_secret_is_in_the_bytes_that_are_stored(rpc: IncomingRpc) -> None:
    (stored,) = split(rpc)
    data = codec.encode(stored)
    assert not [name for name, secret in SECRETS.items() if secret.encode() in data]


def test_the_secrets_open_with_the_bridges_key() -> None:
    (rpc,) = split(boot())
    assert rpc.secrets is not None
    opened = KEY.open(rpc.secrets)
    assert opened == ServerSecrets(SECRETS["user data"], SECRETS["password"], [["/etc/motd", SECRETS["file"]]])


def test_nothing_is_sealed_where_nothing_is_secret() -> None:
    (rpc,) = split(incoming("stop_instance", instance=wrapped("Instance", uuid=UUID), clean_shutdown=False))
    assert rpc.secrets is None
    assert rpc.args["clean_shutdown"] is False


def test_the_callers_message_is_left_as_it_was() -> None:
    rpc = boot()
    split(rpc)
    assert rpc.args == boot().args


def event(name: str, uuid: str) -> dict[str, Any]:
    return wrapped("InstanceExternalEvent", name=name, instance_uuid=uuid, tag=None, status="completed")


def test_an_external_event_becomes_one_message_an_instance() -> None:
    events = [event("network-changed", "u-2"), event("network-vif-deleted", "u-1"), event("network-changed", "u-1")]
    stored = split(incoming("external_instance_event", events=events, instances=[]))
    assert [rpc.uuid for rpc in stored] == ["u-1", "u-2"]
    assert {rpc.rpc_id for rpc in stored} == {"rpc-1"}
    assert all(rpc.args == {} for rpc in stored)


def test_events_of_what_the_host_did_itself_are_dropped() -> None:
    events = [event("network-vif-plugged", "u-1"), event("network-vif-unplugged", "u-2")]
    assert split(incoming("external_instance_event", events=events)) == []


def test_an_rpc_about_no_instance_is_not_stored() -> None:
    assert split(incoming("host_maintenance_mode", host="x")) == []
