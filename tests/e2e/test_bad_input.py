"""What users and networks get wrong: one clear line, an exit code, nothing lost, nothing stuck."""

import asyncio
import json
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.demo.stack import Stack
from proto import codec, streams, subjects
from proto.jetstream import JetStream
from proto.messages import Observation, Rpc
from proto.operations import Lane
from tests.e2e.as_nova import as_nova
from tests.e2e.clouds import Tenant, eventually


def run(stack: Stack, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of our programs to its end."""
    command = [str(Path(sysconfig.get_path("scripts")) / program), *arguments]
    return subprocess.run(
        command, env=stack.environment(environment), capture_output=True, text=True, timeout=60, check=False
    )


def check_one_clear_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The program failed with one line that says what to do."""
    assert done.returncode not in (0, None) and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert all(word in last for word in words), done.stderr


def test_unknown_zone(tenant: Tenant) -> None:
    body = {"name": "x", "flavorRef": tenant.flavor, "imageRef": tenant.image, "networks": [{"uuid": tenant.network}]}
    answer = tenant.connection.compute.post("/servers", json={"server": {**body, "availability_zone": "nowhere"}})
    assert (answer.status_code == 400 and "nowhere" in answer.text) or "availability zone" in answer.text


def test_second_add_of_a_site(stack: Stack, tmp_path: Path) -> None:
    conf = str(stack.bridge_conf)
    bundle = tmp_path / "bundle"
    done = run(
        stack,
        "cascade",
        "--config-file",
        conf,
        "site",
        "add",
        "paris",
        "--availability-zone",
        "x",
        "--bundle",
        str(bundle),
    )
    check_one_clear_line(done, "paris")
    assert not bundle.exists()


def test_unknown_site(stack: Stack) -> None:
    done = run(stack, "cascade", "--config-file", str(stack.bridge_conf), "site", "show", "atlantis")
    check_one_clear_line(done, "atlantis")


@pytest.mark.parametrize("program", ["cascade-bridge", "cascade-agent"])
def test_wrong_nats_address(stack: Stack, program: str) -> None:
    conf = stack.bridge_conf if program == "cascade-bridge" else stack.agent_conf("paris")
    done = run(stack, program, "--config-file", str(conf), OS_NATS__SERVERS="nats://127.0.0.1:1")
    check_one_clear_line(done, "127.0.0.1:1", "NATS")


@pytest.mark.parametrize("program", ["cascade-bridge", "cascade-agent"])
def test_expired_password(stack: Stack, tmp_path: Path, program: str) -> None:
    conf = stack.bridge_conf if program == "cascade-bridge" else stack.agent_conf("paris")
    entries = [line if "password:" not in line else '      password: "expired"' for line in lines(stack.clouds_yaml)]
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text("\n".join(entries))
    done = run(stack, program, "--config-file", str(conf), OS_CLIENT_CONFIG_FILE=str(clouds))
    check_one_clear_line(done, "password")


def lines(path: Path) -> list[str]:
    """Return a file's lines."""
    return path.read_text().splitlines()


@pytest.mark.parametrize("program", ["cascade-bridge", "cascade-agent"])
def test_missing_setting(stack: Stack, tmp_path: Path, program: str) -> None:
    empty = tmp_path / "empty.conf"
    empty.write_text("")
    check_one_clear_line(run(stack, program, "--config-file", str(empty)), "not set")


def test_what_nobody_can_read_ends_in_dead(stack: Stack, tenant: Tenant) -> None:
    uuid = "00000000-0000-4000-8000-000000000001"
    seen = Observation("paris", uuid, 0, 0.0, None)
    envelope = msgspec.msgpack.decode(codec.encode(seen))
    newer = msgspec.msgpack.encode({**envelope, "v": codec.SCHEMA_VERSION + 1})

    async def scenario() -> None:
        credentials = stack.middle.nats.files.bridge_credentials.read_text()
        road = await JetStream.connect([stack.middle.nats.url], "e2e", credentials=credentials)
        before = await road.count(streams.DEAD.name, subjects.DEAD_FILTER)
        targets = [
            subjects.event("paris", uuid),
            subjects.command("paris", Lane.NORMAL, uuid),
            subjects.intake("paris", uuid),
        ]
        for target in targets:
            await road.publish(target, b"this is not MessagePack")
            await road.publish(target, newer)
        deadline = asyncio.get_running_loop().time() + 30
        while await road.count(streams.DEAD.name, subjects.DEAD_FILTER) < before + 2 * len(targets):
            assert asyncio.get_running_loop().time() < deadline, "not all of them are in DEAD"
            await asyncio.sleep(0.2)
        for stream in streams.of_site("paris")[:3]:
            assert await road.count(stream.name, f"{subjects.PREFIX}.*.*.paris.>") == 0
        await road.close()

    known = {letter["id"] for letter in letters(stack)}
    asyncio.run(scenario())
    check_what_an_operator_does_with_it(stack, [letter for letter in letters(stack) if letter["id"] not in known])
    booted = tenant.boot("e2e-after-garbage", "az-paris")
    tenant.wait_status(booted, "ACTIVE")
    tenant.delete(booted)
    eventually(lambda: booted not in stack.cascade("instance", "list", "-f", "json"), 60, "a record remains")


def letters(stack: Stack) -> list[dict[str, Any]]:
    """Return the dead letters of paris."""
    found: list[dict[str, Any]] = json.loads(stack.cascade("dead", "list", "--site", "paris", "-f", "json"))
    return found


def check_what_an_operator_does_with_it(stack: Stack, new: list[dict[str, Any]]) -> None:
    """Letters nobody can read are told so, are not replayed, and can be dropped once."""
    assert sorted(letter["kind"] for letter in new) == ["command"] * 2 + ["observation"] * 2 + ["rpc"] * 2
    for letter in new:
        number, conf = str(letter["id"]), str(stack.bridge_conf)
        assert "unreadable" in stack.cascade("dead", "show", number)
        done = run(stack, "cascade", "--config-file", conf, "dead", "replay", number)
        check_one_clear_line(done, "it still cannot be read")
        stack.cascade("dead", "drop", number)
        check_one_clear_line(run(stack, "cascade", "--config-file", conf, "dead", "drop", number), "no dead letter")
    assert not {letter["id"] for letter in new} & {letter["id"] for letter in letters(stack)}


STOPPING = """
instance.task_state = "powering-off"
instance.save()
answer(instance.vm_state)
"""


def test_a_request_that_nobody_could_use_is_carried_out_after_all(stack: Stack, tenant: Tenant) -> None:
    uuid = tenant.boot("e2e-dead-letter", "az-paris")
    tenant.wait_status(uuid, "ACTIVE")
    assert as_nova(stack, uuid, STOPPING) == "active"
    context = {"request_id": "req-e2e-dead", "is_admin": True}
    rpc = Rpc("e2e-dead", "paris", "stop_instance", uuid, context, {"clean_shutdown": False}, time.time())
    known = {letter["id"] for letter in letters(stack)}

    async def bury_twice() -> None:
        credentials = stack.middle.nats.files.bridge_credentials.read_text()
        road = await JetStream.connect([stack.middle.nats.url], "e2e", credentials=credentials)
        headers = {subjects.HEADER_DEAD_SUBJECT: subjects.intake("paris", uuid), subjects.HEADER_DEAD_REASON: "e2e"}
        for _ in range(2):
            await road.publish(subjects.dead_above("paris"), codec.encode(rpc), headers=headers)
        await road.close()

    asyncio.run(bury_twice())
    first, second = (letter for letter in letters(stack) if letter["id"] not in known)
    assert (first["what"], first["instance"], first["reason"]) == ("stop_instance", uuid, "e2e")
    assert "is tried again" in stack.cascade("dead", "replay", str(first["id"]))
    tenant.wait_status(uuid, "SHUTOFF")
    done = run(stack, "cascade", "--config-file", str(stack.bridge_conf), "dead", "replay", str(second["id"]))
    check_one_clear_line(done, "nothing waits for stop_instance any more")
    stack.cascade("dead", "drop", str(second["id"]))
    tenant.delete(uuid)
