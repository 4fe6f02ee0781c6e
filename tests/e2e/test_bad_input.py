"""What users and networks get wrong: one clear line, an exit code, nothing lost, nothing stuck."""

import asyncio
import subprocess
import sysconfig
from pathlib import Path

import msgspec
import pytest

from deploy.demo.stack import Stack
from proto import codec, streams, subjects
from proto.jetstream import JetStream
from proto.messages import Observation
from proto.operations import Lane
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
        before = await road.count(streams.DEAD.name, subjects.dead("paris"))
        targets = [
            subjects.event("paris", uuid),
            subjects.command("paris", Lane.NORMAL, uuid),
            subjects.intake("paris", uuid),
        ]
        for target in targets:
            await road.publish(target, b"this is not MessagePack")
            await road.publish(target, newer)
        deadline = asyncio.get_running_loop().time() + 30
        while await road.count(streams.DEAD.name, subjects.dead("paris")) < before + 2 * len(targets):
            assert asyncio.get_running_loop().time() < deadline, "not all of them are in DEAD"
            await asyncio.sleep(0.2)
        for stream in streams.of_site("paris")[:3]:
            assert await road.count(stream.name, f"{subjects.PREFIX}.*.*.paris.>") == 0
        await road.close()

    asyncio.run(scenario())
    booted = tenant.boot("e2e-after-garbage", "az-paris")
    tenant.wait_status(booted, "ACTIVE")
    tenant.delete(booted)
    eventually(lambda: booted not in stack.cascade("instance", "list", "-f", "json"), 60, "a record remains")
