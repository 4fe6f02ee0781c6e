"""What the agent is told, and what it says when that is wrong."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from proto import codec, logs
from proto.errors import Misconfigured
from proto.messages import Bundle
from proto.sealing import PrivateKey
from site_agent import settings


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Loading sets up the whole process's logging; give it back."""
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.setLogRecordFactory(factory)


def arguments(
    directory: Path, text: str = "", key: str | None = None, servers: tuple[str, ...] = ("nats://n",)
) -> list:
    """Command line of an agent with a bundle and a configuration file."""
    bundle = Bundle("paris", 2, [], list(servers), "creds", key or PrivateKey.generate().base64)
    (directory / "bundle.json").write_bytes(codec.to_json(bundle))
    (directory / "agent.conf").write_text(f"[site]\nbundle = {directory}/bundle.json\ncloud = paris-agent\n{text}")
    return ["--config-file", str(directory / "agent.conf")]


def test_defaults_bundle_and_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings.load(arguments(tmp_path))
    assert (chosen.cloud, chosen.servers, chosen.slots, chosen.shutdown_grace) == ("paris-agent", ["nats://n"], 8, 10.0)
    assert chosen.bundle.epoch == 2
    monkeypatch.setenv("OS_AGENT__SLOTS", "3")
    chosen = settings.load(arguments(tmp_path, "[nats]\nservers = nats://a,nats://b\n"))
    assert (chosen.servers, chosen.slots) == (["nats://a", "nats://b"], 3)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("[site]\nbundle =\n", {}, r"\[site\] bundle is not set"),
        ("[site]\ncloud =\n", {}, r"\[site\] cloud is not set"),
        ("[site]\nbundle = /nowhere\n", {}, "cannot read /nowhere"),
        ("[agent]\nslots = many\n", {}, "configuration: .*slots"),
        ("[agent]\npoll_fast = 3\n", {}, "poll_fast must not exceed"),
        ("", {"key": "rubbish"}, "holds no sealing key"),
        ("", {"servers": ()}, "names no NATS servers"),
    ],
)
def test_what_is_wrong_is_said_by_name(tmp_path: Path, text: str, options: dict, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        settings.load(arguments(tmp_path, text, **options))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="configuration"):
        settings.load(["--config-file", str(tmp_path / "none.conf")])


def test_the_generator_knows_every_option() -> None:
    named = {option.dest for _, options in settings.list_options() for option in options}
    assert {"bundle", "cloud", "servers", "enabled", "slots"} <= named
    assert all(option.help for _, options in settings.list_options() for option in options)


def test_lines_carry_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings.load(arguments(tmp_path))
    with logs.about(logs.Work("paris", "req-7", "u1", 3)):
        logging.getLogger("site_agent.x").info("hello")
        assert logs.request_id() == "req-7"
    assert "INFO site_agent.x [req-7 site=paris instance=u1 generation=3] hello" in capsys.readouterr().err
