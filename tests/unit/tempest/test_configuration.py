"""What Tempest is told of a cloud."""

import stat
from pathlib import Path

from tests.tempest import configuration
from tests.tempest.contents import Contents

LOGIN = {"auth_url": "http://a/v3", "username": "admin", "password": "p%s", "project_name": "admin"}
CONTENTS = Contents(("1", "2"), ("i1", "i2"), "net")


def test_only_the_plain_cloud_has_volumes_and_hosts_to_move_between() -> None:
    above = configuration.options(LOGIN, CONTENTS, ["a", "b"], plain=False, state=Path("/state"))
    plain = configuration.options(LOGIN, CONTENTS, ["a", "b"], plain=True, state=Path("/state"))
    different = {
        (section, name) for section in plain for name in plain[section] if plain[section][name] != above[section][name]
    }
    assert different == {
        ("service_available", "cinder"),
        *(("compute-feature-enabled", name) for name in configuration.PLAIN_FEATURES),
    }
    assert above["network-feature-enabled"]["api_extensions"] == "a,b"


def test_the_file_is_its_owners_and_takes_any_password(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "tempest.conf"
    configuration.write(file, configuration.options(LOGIN, CONTENTS, [], plain=False, state=tmp_path))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "admin_password = p%s" in file.read_text()


def test_the_login_is_read_from_clouds_yaml(tmp_path: Path) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text("clouds:\n  top:\n    auth:\n      username: admin\n")
    assert configuration.login_of(file, "top") == {"username": "admin"}
