"""What is kept of a cloud, what others read of it, and what the command line says of mistakes."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from deploy.devcloud import cli, cloud, paths, plugins, published
from deploy.devcloud.config import Site
from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.paths import Layout
from deploy.devcloud.releases import RELEASES, Release


def ready(site: Site) -> Site:
    """The same cloud after its first `up`."""
    return dataclasses.replace(site, cloud=dataclasses.replace(site.cloud, ready=True))


def test_a_cloud_is_loaded_as_it_was_saved(paris: Site) -> None:
    published.save(paris)
    assert cloud.load("paris", paris.layout) == paris.cloud
    assert cloud.load("oslo", paris.layout) is None
    assert paris.cloud.file.stat().st_mode & 0o077 == 0


def test_cloud_json_says_how_to_reach_everything(paris: Site) -> None:
    published.save(paris)
    document = json.loads(paris.cloud.file.read_text())
    assert document["hosts"] == ["paris-compute1", "paris-compute2"]
    assert document["transport_url"].endswith(f"@127.0.0.1:{document['rabbit']['port']}/{document['rabbit']['vhost']}")
    assert document["auth_url"] == f"http://127.0.0.1:{document['ports']['keystone']}/v3"


@pytest.mark.parametrize("text", ["", "{}", '{"ports": 1, "made_with": {"options": {"size": {"x": 1}}}}'])
def test_a_damaged_cloud_json_is_one_clear_line(layout: Layout, text: str) -> None:
    file = layout.cloud("paris") / "cloud.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(DevcloudError, match="is damaged"):
        cloud.load("paris", layout)


@pytest.mark.parametrize("name", ["", "Paris", "a-b", "1a", "a" * 17, "a'; DROP"])
def test_names_that_cannot_be_schemas(name: str) -> None:
    with pytest.raises(DevcloudError, match="cannot be a cloud's name"):
        cloud.check_name(name)


def test_clouds_yaml_has_an_entry_for_every_login(paris: Site, top: Site) -> None:
    for site in (ready(paris), ready(top)):
        published.save(site)
    published.write_clouds_yaml(paris.layout)
    entries = yaml.safe_load(paris.layout.clouds_yaml.read_text())["clouds"]
    assert set(entries) == {
        "paris", "paris-demo", "paris-service", "paris-agent",
        "top", "top-demo", "top-service",
    }  # fmt: skip
    assert entries["paris-agent"]["auth"]["project_name"] == "cascade"
    assert entries["paris-agent"]["auth"]["password"] == paris.cloud.secrets["agent"]


def test_clouds_yaml_without_a_ready_cloud(paris: Site) -> None:
    published.save(paris)
    published.write_clouds_yaml(paris.layout)
    assert yaml.safe_load(paris.layout.clouds_yaml.read_text()) == {"clouds": {}}


def test_the_drivers_are_found_through_entry_points(layout: Layout) -> None:
    plugins.write(layout)
    texts = "".join(file.read_text() for file in layout.plugins.glob("*/entry_points.txt"))
    assert "cascade = cascade_ml2.driver:CascadeMechanismDriver" in texts
    assert "devcloud = devcloud_ml2:DevcloudMechanismDriver" in texts


@pytest.mark.parametrize("release", RELEASES.values(), ids=lambda release: release.name)
def test_the_lock_names_no_index_and_pins_what_was_asked_for(release: Release) -> None:
    locked = release.requirements.read_text()
    assert not re.search(r"://|^-", locked, re.MULTILINE)
    asked = re.findall(r"^([\w-]+==[\d.]+)$", release.requirements.with_suffix(".in").read_text(), re.MULTILINE)
    assert len(asked) >= 5
    assert all(re.search(rf"^{re.escape(pin)} ", locked, re.MULTILINE) for pin in asked)


def test_a_cloud_that_was_made_before_releases_were_told_is_of_the_current_one(paris: Site) -> None:
    published.save(paris)
    document = json.loads(paris.cloud.file.read_text())
    del document["made_with"]["options"]["release"], document["made_with"]["options"]["agent_role"]
    paris.cloud.file.write_text(json.dumps(document))
    assert cloud.load("paris", paris.layout) == paris.cloud


@pytest.mark.parametrize(
    "arguments",
    [
        ["stop", "nix"],
        ["down"],
        ["up", "a-b"],
        ["up", "a", "--release", "zed", "--cinder"],
        ["rabbitmqctl", "status"],
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(paths.STATE_VARIABLE, str(tmp_path))
    assert cli.main(arguments) == 1
    assert re.fullmatch(r"devcloud: .+\n", capsys.readouterr().err)
