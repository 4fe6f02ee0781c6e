"""One example of every message that crosses the link: each field set, none to its default."""

from typing import Any

import msgspec

from bridge.core.inventory import LastStatus
from bridge.core.records import (
    Braked,
    CensusFigures,
    FlavorVersion,
    InstanceRecord,
    LiveBridge,
    Owner,
    Pending,
    Quarantined,
    SiteFlavor,
    SiteLife,
    SiteSpec,
)
from proto.errors import FaultCode
from proto.messages import (
    Ask,
    Bundle,
    Capacity,
    CensusEntry,
    ClassCapacity,
    Command,
    Direction,
    Fault,
    Holding,
    HoldingKind,
    ImageTransfer,
    Observation,
    Outcome,
    PlannedStep,
    Query,
    Reply,
    Rpc,
    ServerState,
    SiteHost,
    SiteImage,
    SiteStatus,
    TransferState,
)
from proto.operations import Verb
from proto.specs import (
    ChangeSpec,
    DiskSpec,
    FixedIp,
    FlavorSpec,
    ImageSpec,
    KeypairSpec,
    NetworkSpec,
    PortSpec,
    Sealed,
    SecurityGroupRuleSpec,
    SecurityGroupSpec,
    ServerGroupSpec,
    ServerNames,
    ServerSpec,
    SubnetSpec,
)

UUID = "6b1f0b3c-8a5e-4f0e-9d0c-2f1f3f0f5a01"
T0 = 1_795_000_000.25  # UTC epoch s
SEALED = Sealed(key_id="0123456789abcdef", box=bytes(range(64)))
FAULT = Fault(FaultCode.QUOTA, "Quota exceeded for instances")
FLAVOR = FlavorSpec("42", "m1.small", 3, 2, 2048, 20, 5, 512, {"hw:cpu_policy": "shared"})
IMAGE = ImageSpec("img-1", "cirros", 16_338_944, "sha512", "ab" * 64, "qcow2", "bare", 1, 64, {"hw_disk_bus": "virtio"})
SUBNET = SubnetSpec(
    subnet_id="sub-1",
    name="private",
    cidr="10.0.0.0/24",
    ip_version=4,
    gateway_ip="10.0.0.1",
    enable_dhcp=True,
    dns_nameservers=["9.9.9.9"],
    host_routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.254"}],
    site_addresses=["10.0.0.2", "10.0.0.3"],
    ipv6_address_mode="slaac",
    ipv6_ra_mode="slaac",
)
NETWORK = NetworkSpec("net-1", "private", "project-1", 1442, False, [SUBNET], "provider", "example.org.")
PORT = PortSpec(
    "port-1",
    "net-1",
    "fa:16:3e:00:00:01",
    [FixedIp("10.0.0.17", "sub-1")],
    tag="front",
    security_groups=["group-1"],
    allowed_address_pairs=[{"ip_address": "10.0.0.200", "mac_address": "fa:16:3e:00:00:01"}],
    port_security_enabled=False,
    dns_name="web-1",
    vnic_type="direct",
    extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}],
    instance=UUID,
)
RULE = SecurityGroupRuleSpec("ingress", "IPv4", "tcp", 22, 80, "192.0.2.0/24", "group-2", "ssh")
GROUP = SecurityGroupSpec("group-1", "web", "project-1", 3, [RULE], False)
SERVER = ServerSpec(
    name="web-1",
    description="front end",
    project_id="project-1",
    user_id="user-1",
    flavor=FLAVOR,
    image=IMAGE,
    networks=[NETWORK],
    ports=[PORT],
    keypair=KeypairSpec("mine", "ssh-ed25519 AAAA", "aa:bb", "ssh"),
    metadata={"role": "web"},
    config_drive=True,
    availability_zone="north",
    scheduler_hints={"build_near": ["x"]},
    secrets=SEALED,
    security_groups=[GROUP],
    hostname="web",
    disk_config="MANUAL",
    disks=[DiskSpec(-1, 2, "ext4", "disk", "scsi", "scratch")],
    group=ServerGroupSpec("group-3", "anti-affinity", {"max_server_per_host": "2"}),
)
CHANGE = ChangeSpec(
    FLAVOR, IMAGE, "web-2", "rebuilt", "web", {"role": "web"}, KeypairSpec("mine", "ssh-ed25519 AAAA", "aa:bb", "ssh"),
    True, SEALED, PORT, [NETWORK], [GROUP],
)  # fmt: skip
STATE = ServerState("srv-1", "active", "rebooting", 1, "REBOOT", T0 - 60, T0 - 1, "it failed once", True)
CAPACITY = Capacity(
    640, 1_048_576, 20_000, 64, 262_144, 4_000, 10, 40, 8_192, 500, ["HW_CPU_X86_AVX2"],
    classes={"CUSTOM_GPU": ClassCapacity(8, 4, 1)}, others={"VCPU": 30}, fits={"42": 120}, measured_at=T0 - 30,
)  # fmt: skip
HOLDING = Holding(HoldingKind.FLAVOR, "cascade-42-v3", "42", 3, 2, T0 - 600)
HOST = SiteHost("paris", "europe", "north")
TRANSFER = ImageTransfer(
    "img-1", "debian", 200, 84, 3.5, Direction.UP, TransferState.PAUSED, T0 - 30, "the link to the bridge is cut"
)
SITE_IMAGE = SiteImage("below", "img-1", "cirros", "active", 200, "sha512", "ab", "raw", "bare", T0 - 60, True)
THINGS: Any = {"networks": [NETWORK], "security_groups": [GROUP], "ports": [PORT]}
UNDONE = {"port-1": "the site does not have it"}

# What crosses the link or waits in a stream.
WIRE: tuple[msgspec.Struct, ...] = (
    Command("paris", UUID, 7, 2, Verb.CREATE, T0, T0 + 1800, "req-1", SERVER, "HARD", False, CHANGE, "img-2", True),
    Observation("paris", UUID, 7, T0, STATE, True, Outcome.REFUSED, FAULT, 3, ["net-1"]),
    SiteStatus(
        "paris",
        "agent-1",
        T0,
        T0 - 900,
        {"": CAPACITY, "north": CAPACITY},
        {"nova": "2.96"},
        4,
        "nova: 503",
        transfers=[TRANSFER],
        degraded=["flavors are matched, not made"],
        epoch=3,
        breakers={"compute": "not asked for 5 s"},
    ),
    Query(
        "paris",
        "console_output",
        UUID,
        "req-2",
        50,
        console_type="novnc",
        marker="srv-1",
        image_id="below",
        offset=512,
        flavor=FLAVOR,
        holdings=[HOLDING],
        servers=[ServerNames(UUID, "web-2", "renamed", "web-2", {"role": "web"}, ["tier"])],
        snapshot="5f3a.1",
        buckets=[7, 100],
        sought={UUID: "srv-1"},
        server_id="srv-1",
        dry_run=True,
        asked_by="ann@top",
        **THINGS,
    ),
    Reply(
        FAULT,
        "login:",
        [CensusEntry(UUID, 1, STATE)],
        "srv-1",
        b"\x00\xff",
        images=[SITE_IMAGE],
        holdings=[HOLDING],
        undone=UNDONE,
        diagnostics={"cpu_details": [{"id": 0, "time": 17_300_000_000}], "state": "running"},
        snapshot="5f3a.1",
        digests=bytes(range(8)),
        steps=[PlannedStep(UUID, "missing", "its server is gone", "active on paris", "settled", "srv-1 active", True)],
        epoch=3,
    ),
    Ask("paris", "image_chunk", "img-1", 524_288, 4096, UUID, 7, "spool-1"),
    Rpc("rpc-1", "paris", "stop_instance", UUID, {"request_id": "req-3"}, {"clean_shutdown": True}, T0, SEALED, True),
)

# What etcd and files hold, as JSON.
STORED: tuple[msgspec.Struct, ...] = (
    Bundle("paris", 2, [HOST], ["tls://nats:4222"], "-----BEGIN NATS USER JWT-----", "c2VhbGluZw==", "-----BEGIN CA"),
    SiteSpec(
        "paris",
        [HOST],
        "cHVibGlj",
        "UABC",
        2,
        T0,
        image_rate=20.0,
        caps={"vcpus": 100},
        networks={"net-1": "provider"},
        draining=True,
        drain_reason="new racks",
        drained_at=T0,
        given_up={"paris": T0},
        missing="rebuild",
        drift="enforce",
        orphans="stop",
        fenced="delete",
    ),
    InstanceRecord(
        uuid=UUID,
        generation=7,
        observed_generation=6,
        rpc_ids=["rpc-0", "rpc-1"],
        pending=Pending(
            7,
            Verb.DELETE,
            "rpc-1",
            "req-1",
            T0,
            T0 + 60,
            True,
            FAULT,
            True,
            ended=True,
            server=STATE,
            perhaps_done=True,
        ),
        server_id="srv-1",
        vm_state="active",
        power_state=1,
        seen_at=T0,
        deleted_at=T0 + 1,
        attempt=2,
        trouble="busy",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        created=5,
        missing_since=T0 + 2,
    ),
    Quarantined(UUID, STATE, "nobody knows it", T0, 7, InstanceRecord(UUID), True, T0 + 60),
    Braked(T0, 12, 100),
    CensusFigures(T0, 1.5, 10_000, 2_048, 3),
    SiteLife("silent", T0),
    Owner("bridge-1", T0),
    LiveBridge("bridge-1", T0, 5, 2, 1),
    FlavorVersion(3, "ab" * 32, 4, {"cd" * 32: 2}, FLAVOR, T0),
    SiteFlavor(2, "cascade-42-v2", 3, "agent-1", "disk is 20, wanted 21", 4, T0),
    LastStatus(
        "paris",
        "agent-1",
        T0,
        T0 - 900,
        {},
        {"nova": "2.96"},
        4,
        "nova: 503",
        transfers=[TRANSFER],
        degraded=["flavors are matched, not made"],
        breakers={"compute": "not asked for 5 s"},
        epoch=3,
        received_at=T0 + 0.5,
        clock_offset=-1.5,
    ),
)
