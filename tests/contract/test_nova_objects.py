"""What we send to nova-conductor, read by Nova's own classes; and what Nova sends, read by ours."""

import datetime
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.core.audit_period import AuditPeriod
from bridge.edge import nova_objects
from bridge.edge.nova_audit import NovaAudit
from bridge.edge.nova_conductor import NovaConductor, RemoteFailure, request_context
from bridge.edge.nova_diagnostics import diagnostics
from bridge.edge.nova_objects import (
    CHANGES,
    DATA,
    NAME,
    VERSION,
    VERSIONS,
    at_our_versions,
    network_info,
    parse_timestamp,
    timestamp,
    unwrap,
)
from proto.errors import FaultCode, Malformed
from proto.messages import Fault
from tests.contract.nova_python import ask_nova
from tests.fakes.cloud_nova import DIAGNOSTICS

UUID = "b3fe5a0c-1111-4222-8333-444455556666"
PORT = "ecd0a7f0-1111-4222-8333-444455556666"
FLAVOR = {"id": 1, "name": "m1.tiny", "memory_mb": 128, "vcpus": 1, "flavorid": "1", "extra_specs": {"a": "b"}}
NODE = {
    "uuid": UUID,
    "host": "paris",
    "service_id": 4,
    "hypervisor_hostname": "paris",
    "vcpus": 100,
    "memory_mb": 10**12,
    "local_gb": 1000,
    "vcpus_used": 0,
    "hypervisor_type": "cascade",
    "hypervisor_version": 1,
    "cpu_info": "{}",
    "host_ip": "127.0.0.1",
    "metrics": "[]",
    "stats": {"failed_builds": "0"},
    "numa_topology": None,
    "pci_device_pools": None,
    "cpu_allocation_ratio": 1.0,
    "supported_hv_specs": [["x86_64", "qemu", "hvm"], ("aarch64", "kvm", "hvm")],
}
PERIOD = AuditPeriod(datetime.datetime(2026, 10, 1), datetime.datetime(2026, 11, 1))
NEWER_THAN_ZED = {"Instance": {"compute_id"}}  # extra data: the newest class takes it, Zed drops it


class Recorder:
    """Takes the place of ConductorRpc and notes what would go over the wire."""

    def __init__(self, answer: Any = None) -> None:
        self.objects: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str, list[Any], dict[str, Any]]] = []
        self.answer = answer

    async def of_object(self, _: Any, target: dict[str, Any], method: str, **kwargs: Any) -> dict[str, Any]:
        self.objects.append(target)
        self.calls.append((target[NAME], method, [], kwargs))
        return unwrap(target)

    async def of_class(self, _: Any, name: str, method: str, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((name, method, list(args), kwargs))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def cast_task(self, _: Any, method: str, **kwargs: Any) -> None:
        self.calls.append(("", method, [], kwargs))


def conductor(recorder: Recorder) -> NovaConductor:
    client = NovaConductor.__new__(NovaConductor)
    client._rpc = recorder  # type: ignore[assignment]
    client._heard = lambda _event: None
    return client


async def everything_said() -> Recorder:
    """Make every call that NovaConductor and NovaAudit can make."""
    recorder = Recorder(answer=[])
    said = conductor(recorder)
    audit = NovaAudit(said.rpc)
    c = request_context("req-1", "u", "p")
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: said.get_service("paris"),
        lambda: said.create_service("paris", 74),
        lambda: said.heartbeat(4, 2, 74),
        lambda: said.set_service_disabled(4, 74, True, "cascade: silent"),
        lambda: said.get_compute_node("paris"),
        lambda: said.create_compute_node(NODE),
        lambda: said.save_compute_node(1, {"vcpus": 5}),
        lambda: said.get_instance(c, UUID, ["flavor"]),
        lambda: said.instances_on_host("paris", ["info_cache"]),
        lambda: said.save_instance(c, UUID, {"vm_state": "building", "task_state": None}, ["scheduling", None]),
        lambda: said.save_instance(c, UUID, {"host": "paris", "node": "paris", "compute_id": 1}, None, ["active"]),
        lambda: said.save_instance(c, UUID, {"launched_at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)}),
        lambda: said.save_instance(c, UUID, {"flavor": FLAVOR, "old_flavor": None, "new_flavor": FLAVOR}),
        lambda: said.save_instance(c, UUID, {"system_metadata": {"a": "b"}}),
        lambda: said.save_instance(c, UUID, {"migration_context": {"instance_uuid": UUID, "migration_id": 1}}),
        lambda: said.destroy_instance(c, 4, UUID, "paris"),
        lambda: said.event_start(c, UUID, "compute_stop_instance", "paris"),
        lambda: said.event_finish(c, UUID, "compute_stop_instance", "paris", error="no", details="because"),
        lambda: said.action_start(c, UUID, "stop"),
        lambda: said.create_fault(c, UUID, "paris", Fault(FaultCode.REJECTED, "m" * 300)),
        lambda: said.save_info_cache(c, UUID, [{"id": PORT, "network": {"id": PORT, "subnets": []}}]),
        lambda: said.create_vif(c, UUID, PORT, "fa:16:3e:00:00:01", None),
        lambda: said.delete_vifs(c, UUID),
        lambda: said.unconfirmed_resizes("paris", 30),
        lambda: said.block_device_mappings(c, UUID),
        lambda: said.save_bdm(c, 5, {"device_name": "/dev/vda", "connection_info": "{}"}),
        lambda: audit.begun("paris", PERIOD),
        lambda: audit.begin("paris", PERIOD, 3),
        lambda: audit.end("paris", PERIOD, 3),
        lambda: audit.page("paris", PERIOD, None),
    ]
    for call in calls:
        await call()
    with pytest.raises(Exception, match="registered"):
        await said.conductor_service_version()
    with pytest.raises(TypeError):  # no group came back
        await said.hosts_of_earlier_members(UUID, UUID)
    return recorder


READ = """
serializer = base.NovaObjectSerializer()
def read(primitive):
    thing = serializer.deserialize_entity(context.get_admin_context(), primitive)
    fields = {name: thing.fields[name].to_primitive(thing, name, getattr(thing, name))
              for name in thing.fields if thing.obj_attr_is_set(name)}
    return [thing.obj_name(), thing.VERSION, sorted(thing.obj_what_changed()), fields]
answer([read(primitive) for primitive in question])
"""


@pytest.mark.parametrize("nova", ["installed", "zed"])
async def test_nova_reads_every_object_we_send(nova: str) -> None:
    sent = (await everything_said()).objects
    read = ask_nova(nova, READ, sent)
    for ours, (name, version, changed, fields) in zip(sent, read, strict=True):
        dropped = NEWER_THAN_ZED.get(name, set()) if nova == "zed" else set()
        assert (name, version) == (ours[NAME], VERSIONS[ours[NAME]])
        assert set(changed) >= set(ours[CHANGES]) - dropped
        assert set(changed) <= set(ours[CHANGES]) | set(nova_objects.FLAVORS) | {"supported_hv_specs"}
        for field in set(ours[DATA]) - dropped:
            assert _comparable(fields[field]) == _comparable(ours[DATA][field]), f"{name}.{field}"


def _comparable(value: Any) -> Any:
    plain = unwrap(value)
    if isinstance(plain, str) and plain.startswith("["):
        return [vif["id"] for vif in json.loads(plain)]  # Nova's model adds what a VIF lacks
    return plain


@pytest.mark.parametrize("nova", ["installed", "zed"])
def test_nova_reads_the_diagnostics_that_we_answer(nova: str) -> None:
    ((name, version, _, fields),) = ask_nova(nova, READ, [diagnostics(DIAGNOSTICS)])
    assert (name, version) == ("Diagnostics", VERSIONS["Diagnostics"])
    shown = unwrap(fields)
    for field, expected in DIAGNOSTICS.items():
        if isinstance(expected, list):
            assert [{k: v for k, v in entry.items() if v is not None} for entry in shown[field]] == expected
        else:
            assert shown[field] == expected, field


BIND = """
import inspect
for name, method, args, kwargs in question:
    function = getattr(getattr(objects, name), method)
    target = [] if isinstance(getattr(function, "__self__", None), type) else [None]
    given = args if target else [None, *args]
    inspect.signature(function).bind(*target, *given, **kwargs)
answer("ok")
"""


@pytest.mark.parametrize("nova", ["installed", "zed"])
async def test_nova_has_every_method_we_call(nova: str) -> None:
    calls = (await everything_said()).calls
    assert ask_nova(nova, BIND, calls) == "ok"


REGISTRY = "answer({name: [c.VERSION for c in found] for name, found in base.NovaObjectRegistry.obj_classes().items()})"


def test_our_versions_are_those_of_zed() -> None:
    registry = ask_nova("zed", REGISTRY)
    assert {name: registry[name][0] for name in VERSIONS} == VERSIONS


def test_our_versions_are_not_newer_than_the_installed_nova() -> None:
    registry = ask_nova("installed", REGISTRY)
    for name, ours in VERSIONS.items():
        theirs = registry[name][0]
        assert ours.split(".")[0] == theirs.split(".")[0], name
        assert int(ours.split(".")[1]) <= int(theirs.split(".")[1]), name


WRITE = """
ctx = context.get_admin_context()
flavor = objects.Flavor(id=1, name="m1.tiny", memory_mb=128, vcpus=1, extra_specs={"a": "b"})
instance = objects.Instance(ctx, uuid=question["uuid"], host=None, task_state="scheduling", flavor=flavor,
    old_flavor=None, metadata={"k": "v"}, system_metadata={}, user_data=None,
    keypairs=objects.KeyPairList(objects=[objects.KeyPair(name="key", public_key="ssh")]),
    tags=objects.TagList(objects=[objects.Tag(tag="t", resource_id=question["uuid"])]),
    info_cache=objects.InstanceInfoCache(instance_uuid=question["uuid"], network_info=None))
instance.compute_id = 7
properties = objects.ImageMetaProps(hw_disk_bus="virtio")
spec = objects.RequestSpec(ctx, flavor=flavor, num_instances=1, scheduler_hints={"group": [question["uuid"]]},
    image=objects.ImageMeta(id=question["uuid"], properties=properties), instance_uuid=question["uuid"])
networks = objects.NetworkRequestList(objects=[objects.NetworkRequest(network_id="n", port_id=question["port"])])
serializer = base.NovaObjectSerializer()
answer([serializer.serialize_entity(ctx, thing) for thing in (instance, spec, networks)])
"""


def test_we_read_what_nova_sends() -> None:
    instance, spec, networks = map(unwrap, ask_nova("installed", WRITE, {"uuid": UUID, "port": PORT}))
    assert instance["flavor"]["extra_specs"] == {"a": "b"}
    assert [key["name"] for key in instance["keypairs"]] == ["key"]
    assert [tag["tag"] for tag in instance["tags"]] == ["t"]
    assert instance["host"] is None
    assert instance["metadata"] == {"k": "v"}
    assert network_info(instance) == []
    assert spec["scheduler_hints"] == {"group": [UUID]}
    assert spec["image"]["properties"]["hw_disk_bus"] == "virtio"
    assert [network["port_id"] for network in networks] == [PORT]


def test_what_we_pass_on_is_not_newer_than_the_conductor() -> None:
    newest = ask_nova("installed", WRITE, {"uuid": UUID, "port": PORT})
    passed = at_our_versions(newest)
    assert [thing[VERSION] for thing in passed[:2]] == [VERSIONS["Instance"], VERSIONS["RequestSpec"]]
    assert [thing[DATA].keys() for thing in passed] == [thing[DATA].keys() for thing in newest]
    names = [name for name, *_ in ask_nova("zed", READ, passed)]
    assert names == ["Instance", "RequestSpec", "NetworkRequestList"]


def test_the_three_flavors_are_saved_together() -> None:
    with pytest.raises(Malformed, match="together"):
        nova_objects.instance_patch(UUID, {"new_flavor": FLAVOR})


def test_times_are_utc() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00Z"
    paris = datetime.timezone(datetime.timedelta(hours=1))
    assert timestamp(datetime.datetime(2026, 1, 1, 1, tzinfo=paris)) == "2026-01-01T00:00:00Z"
    assert parse_timestamp("2026-01-01T00:00:00") == parse_timestamp("2026-01-01T00:00:00Z")
    assert parse_timestamp(None) is None


def _conductor_row(version: int, seen: str | None) -> dict[str, Any]:
    return nova_objects.primitive(
        "Service", {"version": version, "last_seen_up": seen, "created_at": "2026-01-01T00:00:00Z"}
    )


async def test_a_dead_conductor_does_not_count() -> None:
    rows = [
        _conductor_row(66, "2026-01-01T10:00:00Z"),
        _conductor_row(60, None),
        _conductor_row(74, "2026-01-02T10:00:00Z"),
        _conductor_row(72, "2026-01-02T09:59:20Z"),
    ]
    assert await conductor(Recorder(answer=rows)).conductor_service_version() == 72


async def test_an_instance_without_an_action_has_no_events() -> None:
    missing = Recorder(answer=RemoteFailure("InstanceActionNotFound", "Action for request_id req-1 not found"))
    await conductor(missing).event_start(request_context("req-1", None, None), UUID, "compute_stop_instance", "paris")
    broken = Recorder(answer=RemoteFailure("DBError", "gone"))
    with pytest.raises(RemoteFailure, match="DBError"):
        await conductor(broken).event_finish(request_context("req-1", None, None), UUID, "compute_stop_instance")


async def test_a_reschedule_takes_the_arguments_of_the_cast() -> None:
    recorder = Recorder()
    newer = {NAME: "Instance", VERSION: "2.8", DATA: {"uuid": UUID, "host": None}, CHANGES: ["host"]}
    await conductor(recorder).build_instances(
        request_context("req-1", None, None),
        instances=[newer],
        image={"id": "i"},
        filter_properties={"retry": {"num_attempts": 1}},
        block_device_mapping=[],
        request_spec={NAME: "RequestSpec", VERSION: "1.15", DATA: {}},
        host_lists=[[]],
    )
    ((_, method, _, sent),) = recorder.calls
    assert method == "build_instances"
    assert sent["instances"] == [{**newer, VERSION: "2.7", CHANGES: []}]
    assert sent["request_spec"][VERSION] == "1.14"
    assert "block_device_mapping" not in sent
