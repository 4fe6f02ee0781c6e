"""The pure parts: what the site says, taken apart, and what is made of it."""

import msgspec
import pytest

from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import ServerState
from proto.operations import Verb
from proto.specs import ChangeSpec, DiskSpec, ServerSecrets, SubnetSpec
from site_agent.core import identity, servers
from site_agent.core.answers import Answer, checked, problem, refuse_not_now
from site_agent.core.boot import SiteIds, hostname_taken, refuse_what_cannot_be_made, request_body, spoken
from site_agent.core.capacity import Provider, effective, sum_up
from site_agent.core.changes import rebuild_body
from site_agent.core.clock import SiteClock
from site_agent.core.matching import Flavor, Image, flavor_difference, matching_image, nearest_flavor, pools
from site_agent.core.servers import Server, surplus
from tests.fakes.clock import Clock
from tests.unit.site_agent.world import FLAVOR, HASH, IMAGE, KEYPAIR, SUBNET, UUID, World, server_spec

IDS = SiteIds("cascade-42-v3", "img-here", "cascade-aabb", ["port-here"])


def test_identity_survives_its_tags() -> None:
    tags = ["vendor", identity.tag(UUID), identity.generation_tag(7)]
    assert identity.uuid_of(tags) == UUID
    assert identity.generation_of(tags) == 7
    assert (identity.uuid_of(["x"]), identity.generation_of(["cascade-generation:x"])) == ("", 0)


def test_long_flavor_ids_are_shortened_but_stay_different() -> None:
    one, other = (identity.flavor_id(server_spec().flavor.__class__("a" * 250 + c, *_rest())) for c in "xy")
    assert len(one) < 255
    assert one != other


def _rest() -> tuple[object, ...]:
    return ("n", 1, 1, 1, 1, 0, 0, {})


def test_a_boot_carries_its_identity_in_the_call() -> None:
    command = World(Clock()).command(Verb.CREATE, generation=3)
    body = request_body(command, server_spec(), ServerSecrets(user_data="dQ==", admin_password="p"), IDS, "2.96")
    assert body == {
        "server": {
            "name": "web-1",
            "flavorRef": "cascade-42-v3",
            "imageRef": "img-here",
            "tags": [f"cascade:{UUID}", "cascade-generation:3"],
            "metadata": {"role": "web"},
            "networks": [{"port": "port-here", "tag": "front"}],
            "description": "front end",
            "key_name": "cascade-aabb",
            "availability_zone": "north",
            "user_data": "dQ==",
            "adminPass": "p",
            "config_drive": True,
        },
        "os:scheduler_hints": {"vendor_rack": "7"},
    }


def test_a_boot_without_cards_asks_for_none() -> None:
    command = World(Clock()).command(Verb.CREATE)
    spec = server_spec(ports=[], keypair=None, availability_zone=None, config_drive=False, scheduler_hints={})
    body = request_body(command, spec, ServerSecrets(), SiteIds("f", "i", None, []), "2.96")
    assert body["server"]["networks"] == "none"
    assert not {"key_name", "availability_zone", "config_drive", "adminPass"} & set(body["server"])
    assert "os:scheduler_hints" not in body


def body_of(microversion: str = "2.96", **fields: object) -> dict[str, object]:
    command = World(Clock()).command(Verb.CREATE)
    body: dict[str, object] = request_body(command, server_spec(**fields), ServerSecrets(), IDS, microversion)["server"]
    return body


def test_the_guests_hostname_goes_down_where_the_site_takes_one() -> None:
    assert body_of(hostname="web")["hostname"] == "web"
    assert "hostname" not in body_of("2.89", hostname="web")


@pytest.mark.parametrize(
    ("hostname", "in_2_90", "in_2_94"),
    [
        ("web-1", True, True),
        ("a", False, True),
        ("caf\u00e9", False, False),
        ("web.example", False, True),
        ("-web", False, True),
        ("x" * 63, True, True),
        ("x" * 63 + "-1", False, True),
        ("x" * 256, False, False),
        ("web\n", False, False),
        ("", False, False),
        (None, False, False),
    ],
)
def test_a_hostname_that_a_site_would_refuse_is_left_to_it(hostname: str | None, in_2_90: bool, in_2_94: bool) -> None:
    assert [hostname_taken(hostname, since) == hostname and bool(hostname) for since in ("2.90", "2.94")] == [
        in_2_90,
        in_2_94,
    ]
    assert hostname_taken(hostname, "2.89") is None


def test_an_ordinary_disk_is_left_to_the_sites_nova() -> None:
    assert "block_device_mapping_v2" not in body_of(disks=[DiskSpec(0, None, device_type="disk")])


def test_disks_go_down_with_their_attributes() -> None:
    disks = [DiskSpec(0, None, disk_bus="scsi"), DiskSpec(-1, 2, guest_format="ext4", tag="scratch")]
    assert body_of(disks=disks, disk_config="MANUAL")["block_device_mapping_v2"] == [
        {
            "source_type": "image", "uuid": "img-here", "destination_type": "local", "boot_index": 0,
            "delete_on_termination": True, "disk_bus": "scsi",
        },
        {
            "source_type": "blank", "destination_type": "local", "boot_index": -1, "delete_on_termination": True,
            "volume_size": 2, "guest_format": "ext4", "tag": "scratch",
        },
    ]  # fmt: skip


def test_a_boot_from_a_volume_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        refuse_what_cannot_be_made(server_spec(image=None))
    assert refusal.value.code is FaultCode.UNSUPPORTED


def test_files_go_down_in_the_newest_microversion_that_takes_them() -> None:
    secrets = ServerSecrets(injected_files=[["/a", "Yg=="]], user_data="dQ==")
    files = [{"path": "/a", "contents": "Yg=="}]
    assert [spoken(newest, secrets) for newest in ("2.53", "2.57", "2.96")] == ["2.53", "2.56", "2.56"]
    assert spoken("2.96", ServerSecrets()) == "2.96"
    command = World(Clock()).command(Verb.CREATE)
    made = request_body(command, server_spec(hostname="web"), secrets, IDS, "2.56")["server"]
    assert (made["personality"], "hostname" in made) == (files, False)
    remade = rebuild_body(ChangeSpec(name="n", hostname="web"), secrets, "img-here", None, "2.56")["rebuild"]
    assert (remade["personality"], {"hostname", "user_data"} & set(remade)) == (files, set())


def test_a_server_is_read_whole() -> None:
    server = servers.read({
        "id": "s1", "status": "ERROR", "tags": [f"cascade:{UUID}", "cascade-generation:2"], "locked": True,
        "OS-EXT-STS:vm_state": "error", "OS-EXT-STS:task_state": None, "OS-EXT-STS:power_state": 0,
        "created": "2026-11-22T10:00:00Z", "updated": "2026-11-22T10:00:05Z",
        "OS-SRV-USG:launched_at": "2026-11-22T10:00:03.000000", "fault": {"message": "No valid host was found. "},
    })  # fmt: skip
    assert (server.uuid, server.generation, server.doubtful) == (UUID, 2, False)
    assert server.state == ServerState(
        "s1", "error", None, 0, "ERROR", 1795341603.0, 1795341605.0, "No valid host was found.", True
    )


def test_a_server_of_a_down_cell_is_partial() -> None:
    assert servers.read({"id": "s1", "status": "UNKNOWN", "created": "x"}).partial


def _server(server_id: str, created: str, vm_state: str = "active", generation: int = 1) -> Server:
    return Server(UUID, generation, created, ServerState(server_id, vm_state, None, 1, vm_state.upper()))


def test_of_two_servers_of_one_create_the_oldest_sound_one_stays() -> None:
    old, new = _server("a", "1"), _server("b", "2")
    assert surplus([new, old]) == [new]
    assert surplus([_server("a", "1", "error"), new]) == [_server("a", "1", "error")]
    assert surplus([old, _server("b", "2", generation=2)]) == []
    assert surplus([old, _server("b", "2", "deleted")]) == []


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (Answer(403, {"forbidden": {"message": "Quota exceeded for instances"}}), Refused, FaultCode.QUOTA),
        (Answer(409, {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded"}}), Refused, FaultCode.QUOTA),
        (Answer(413, "<html/>"), Refused, FaultCode.QUOTA),
        (Answer(409, {"x": {"message": "Cannot 'stop' while it is in task_state rebooting"}}), Unavailable, None),
        (
            Answer(409, {"x": {"message": "This subnet is being modified by another concurrent operation."}}),
            Unavailable,
            None,
        ),
        (Answer(409, {"x": {"message": "Cannot 'stop' while it is in vm_state paused"}}), Refused, FaultCode.CONFLICT),
        (Answer(400, {"badRequest": {"message": "bad"}}), Refused, FaultCode.REJECTED),
        (Answer(403, {"errors": [{"detail": "may not"}]}), Refused, FaultCode.REJECTED),
    ],
)
def test_a_refusal_says_what_to_do(answer, kind, code) -> None:
    error = problem(answer)
    assert isinstance(error, kind)
    assert getattr(error, "code", None) is code


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_not_now_is_no_refusal(status: int) -> None:
    with pytest.raises(Unavailable, match="GET x: the site"):
        refuse_not_now(Answer(status, {}), "GET x")
    refuse_not_now(Answer(409, {}), "GET x")


def test_a_refusal_speaks_the_sites_words() -> None:
    assert Answer(400, {"badRequest": {"message": "bad name"}}).message == "bad name"
    assert Answer(404, None).message == "HTTP 404"
    assert checked(Answer(204, None)) is None


def test_flavors_match_by_every_field() -> None:
    same = Flavor("x", 2, 2048, 20, 5, 512, {"hw:cpu_policy": "shared"})
    assert flavor_difference(FLAVOR, same) == ""
    other = Flavor("y", 2, 4096, 20, 5, 512, {})
    assert flavor_difference(FLAVOR, other) == "ram is 4096, wanted 2048"
    assert nearest_flavor(FLAVOR, [other, same]) == (same, "")
    assert "y, differs: ram is 4096" in nearest_flavor(FLAVOR, [other])[1]


def _image(image_id: str, **fields: object) -> Image:
    known = {"status": "active", "hash_algo": "sha512", "hash_value": HASH, "disk_format": "raw", "created": "1"}
    properties = {"cascade_image_id": "img-1", "hw_disk_bus": "virtio"}
    return Image(**{"image_id": image_id, "properties": properties, **known, **fields})  # type: ignore[arg-type]


def test_an_image_is_known_by_its_content_not_by_its_property() -> None:
    snapshot = _image("snap", hash_value="00")  # Nova's snapshots inherit the property
    half = _image("half", status="saving")
    vendor = _image("vendor", properties={"hw_disk_bus": "virtio"}, created="0")
    scsi = _image("scsi", properties={"hw_disk_bus": "scsi"}, created="0")
    assert matching_image(IMAGE, [snapshot, half, scsi]) is None
    assert matching_image(IMAGE, [vendor, scsi]) == vendor
    assert matching_image(IMAGE, [vendor, _image("ours")]) == _image("ours")


def test_neighbouring_addresses_become_one_pool() -> None:
    subnet = SubnetSpec("s", "n", "10.0.0.0/24", 4, None, True, [], [], ["10.0.0.9", "10.0.0.3", "10.0.0.2"])
    assert pools(subnet) == [{"start": "10.0.0.2", "end": "10.0.0.3"}, {"start": "10.0.0.9", "end": "10.0.0.9"}]
    assert pools(SUBNET) == [{"start": "10.0.0.2", "end": "10.0.0.3"}]


def test_capacity_is_summed_by_zone_with_shared_storage() -> None:
    def node(name: str, **capacity: int) -> Provider:
        return Provider(name, name, capacity, {"VCPU": 1}, frozenset({"CPU"}))

    shared = Provider("ceph", "ceph", {"DISK_GB": 500}, {}, frozenset({"MISC_SHARES_VIA_AGGREGATE"}))
    providers = [node("a", VCPU=4, MEMORY_MB=100), node("b", VCPU=16, MEMORY_MB=50), node("down", VCPU=99), shared]
    summed = sum_up(providers, {"a": "north", "b": "south"})
    assert (summed[""].vcpus, summed[""].max_vcpus, summed[""].hosts, summed[""].vcpus_used) == (20, 16, 2, 2)
    assert (summed["north"].vcpus, summed["north"].disk_gb, summed["north"].max_disk_gb) == (4, 500, 500)
    assert summed["south"].traits == ["CPU"]
    assert effective({"total": 10, "reserved": 1, "allocation_ratio": 1.5}) == 13


def test_the_sites_clock_is_never_thought_ahead() -> None:
    clock = SiteClock(-3.0, 1000.0)
    clock.observe(1001.0, 1002.0)  # it is at most 1 s behind
    clock.observe(1000.0, 1003.0)  # an old server's time proves nothing more
    assert clock.now(1010.0) == 1009.0


def test_a_clock_that_was_set_back_is_believed_after_a_while() -> None:
    clock = SiteClock(0.0, 1000.0)
    for here in range(1100, 1800, 100):
        clock.observe(here - 50.0, float(here))
    assert clock.now(2000.0) == 1950.0


def test_keypairs_are_named_by_their_key() -> None:
    name = identity.keypair_name(KEYPAIR)
    assert name.startswith("cascade-aabb-")
    assert identity.keypair_name(msgspec.structs.replace(KEYPAIR, name="another")) == name
    assert identity.keypair_name(msgspec.structs.replace(KEYPAIR, type="x509")) == f"{name}-x509"
    assert identity.keypair_name(msgspec.structs.replace(KEYPAIR, public_key="ssh-ed25519 AAAA me@home")) != name
