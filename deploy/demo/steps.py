"""What `make demo` does, step by step, each told with the time it took."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.demo.stack import SITES, TOP, Stack, wait

SHARED = "shared"  # both sites under one availability zone of this name
FLAVOR, IMAGE, NETWORK = "m1.tiny", "cirros", "demo-net"
BOOT_TIMEOUT = 120.0  # s
REGISTER_TIMEOUT = 90  # s until Nova knows an enrolled site's host
DELETE_TIMEOUT = 90.0  # s


@contextmanager
def step(text: str) -> Iterator[None]:
    """Tell that a step begins, and its seconds when it is done."""
    print(f"==> {text}", flush=True)
    began = time.monotonic()
    yield
    print(f"    done in {time.monotonic() - began:.1f} s", flush=True)


def up(stack: Stack, zone: str) -> None:
    """Bring everything up, boot a VM in each availability zone, and show both layers. Run again it changes nothing."""
    began = time.monotonic()
    with step("three real OpenStack clouds: top (cascading), paris and oslo (the sites)"):
        stack.devcloud("up", TOP, "--role", "cascading")
        stack.devcloud("up", *SITES)
    serve(stack, zone)
    with step("a VM in each availability zone, booted by a tenant with the stock openstack client"):
        names = boot(stack, zones(zone))
    show(stack, names)
    print(f"\nEverything took {time.monotonic() - began:.0f} s. What to type next:\n{_next(stack)}", flush=True)


def serve(stack: Stack, zone: str) -> None:
    """Bring up what stands between the clouds: NATS, etcd, bridge, both sites enrolled, agents. Needs the clouds."""
    with step("nats-server and etcd of our own"):
        stack.middle.up()
        stack.write_configuration()
    with step("bridge"):
        stack.start("bridge")
    with step("both sites enrolled, one agent in each"):
        enrol(stack, zone)


def zones(zone: str) -> dict[str, str]:
    """Return the availability zone above of each site."""
    return dict.fromkeys(SITES, SHARED) if zone == SHARED else {site: f"az-{site}" for site in SITES}


def enrol(stack: Stack, zone: str) -> None:
    """Enrol each site under its zone, anew if it has another one, start its agent, and wait until Nova may use it."""
    known = stack.sites()
    for site, wanted in zones(zone).items():
        present = known.get(site, {}).get("availability_zones", [])
        if present and present != [wanted]:
            _withdraw(stack, site, present[0])
            present = []
        if not present:
            add_site(stack, site, wanted)
        stack.start(site)
    stack.wait_online()
    stack.wait_enabled(*SITES)


def add_site(stack: Stack, site: str, zone: str) -> None:
    """Enrol one site under a zone of the cascading cloud; its agent is not started."""
    stack.bundle(site).unlink(missing_ok=True)
    stack.cascade(
        "site", "add", site, "--availability-zone", zone, "--bundle", str(stack.bundle(site)),
        "--nats-server", stack.middle.nats.url, "--wait", str(REGISTER_TIMEOUT),
    )  # fmt: skip


def _withdraw(stack: Stack, site: str, zone: str) -> None:
    print(f"    {site} moves to another availability zone: deleting the demo's VMs in {zone}", flush=True)
    for server in servers(stack):
        if server["zone"] == zone:
            stack.client(f"{TOP}-demo", "server", "delete", "--wait", server["id"])
    wait(
        lambda: not json.loads(stack.cascade("instance", "list", "--site", site, "-f", "json")),
        DELETE_TIMEOUT,
        f"{site} still has instances; delete them first",
    )
    stack.stop(site)
    stack.cascade("site", "remove", site)


def servers(stack: Stack) -> list[dict[str, str]]:
    """Return the tenant's servers as the stock client lists them above."""
    listed = json.loads(stack.client(f"{TOP}-demo", "server", "list", "--long", "-f", "json"))
    return [
        {
            "id": row["ID"],
            "name": row["Name"],
            "status": row["Status"],
            "zone": row.get("Availability Zone") or "",
            "addresses": _addresses(row["Networks"]),
        }
        for row in listed
    ]


def boot(stack: Stack, by_site: dict[str, str]) -> list[str]:
    """Boot a VM for each site unless it is there, wait until all are ACTIVE, and return their names."""
    names = {f"vm-{site}": zone for site, zone in by_site.items()}
    present = {server["name"] for server in servers(stack)}
    for name, zone in names.items():
        if name not in present:
            stack.client(
                f"{TOP}-demo", "server", "create", "--flavor", FLAVOR, "--image", IMAGE, "--network", NETWORK,
                "--availability-zone", zone, name, "-f", "value", "-c", "id",
            )  # fmt: skip
    states: dict[str, str] = {}

    def active() -> bool:
        states.update({server["name"]: server["status"] for server in servers(stack) if server["name"] in names})
        return "ERROR" in states.values() or all(states.get(name) == "ACTIVE" for name in names)

    wait(active, BOOT_TIMEOUT, f"the VMs are not ACTIVE: see {stack.log('bridge').parent}")
    if "ERROR" in states.values():
        print(f"    a VM is in ERROR: {states}; `openstack server show` tells why", file=sys.stderr)
    return list(names)


def show(stack: Stack, names: list[str]) -> None:
    """Print the tenant's list above and the sites' servers below, side by side."""
    above = {server["name"]: server for server in servers(stack)}
    rows = [("above: name", "status", "zone", "addresses", "below: site", "name", "status", "addresses")]
    for site in SITES:
        for row in json.loads(stack.client(f"{site}-agent", "server", "list", "-f", "json")):
            top: dict[str, Any] = above.pop(row["Name"], {})
            upper = [str(top.get(key, "-")) for key in ("name", "status", "zone", "addresses")]
            rows.append((*upper, site, row["Name"], row["Status"], _addresses(row["Networks"])))
    rows += [(s["name"], s["status"], s["zone"], s["addresses"], "-", "-", "-", "-") for s in above.values()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)
    missing = set(names) - {row[0] for row in rows}
    if missing:
        print(f"not there: {', '.join(sorted(missing))}", file=sys.stderr)


def down(stack: Stack) -> None:
    """End everything that `up` started; the clouds' data goes with it."""
    with step("bridge and agents"):
        stack.stop(*SITES, "bridge")
    with step("nats-server and etcd"):
        stack.middle.down()
    with step("the clouds"):
        stack.devcloud("down", "--all")
    stack.forget_all()


def _addresses(networks: dict[str, list[str]] | str) -> str:
    if isinstance(networks, str):
        return networks
    return " ".join(address for addresses in networks.values() for address in addresses)


def _next(stack: Stack) -> str:
    cascade = f".venv/bin/cascade --config-file {stack.bridge_conf}"
    return f"""
  export OS_CLIENT_CONFIG_FILE={stack.clouds_yaml}
  {stack.openstack} --os-cloud {TOP}-demo server list
  {stack.openstack} --os-cloud {TOP}-demo server stop vm-paris
  {stack.openstack} --os-cloud {TOP}-demo server event list vm-paris
  {stack.openstack} --os-cloud paris-agent server list
  {cascade} site list
  {cascade} check
  make demo-down
"""
