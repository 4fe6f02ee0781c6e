"""Pid files: a stop can only hit what was started here."""

import os
from pathlib import Path

import pytest

from deploy.devcloud import process
from deploy.devcloud.errors import DevcloudError


@pytest.mark.parametrize("text", ["", "12", "12 x", "-1 5", "1 2 3"])
def test_a_torn_or_foreign_pid_file_names_nobody(text: str) -> None:
    assert process.parse_pid_file(text) is None


def test_a_pid_that_now_belongs_to_another_program_is_neither_found_nor_stopped(tmp_path: Path) -> None:
    pid_file = tmp_path / "service.pid"
    pid_file.write_text(f"{os.getpid()} 1\n")
    assert process.find(pid_file) is None
    process.stop([pid_file], grace=0.1)
    assert not pid_file.exists()


def test_stop_ends_the_whole_session(tmp_path: Path) -> None:
    pid_file, log = tmp_path / "a.pid", tmp_path / "a.log"
    script = "sleep 60 & echo started; wait"
    started = process.start(["/bin/sh", "-c", script], pid_file, log, {"PATH": "/usr/bin:/bin"}, tmp_path)
    assert process.wait_until(lambda: "started" in log.read_text(), 5)
    assert process.find(pid_file) == started
    assert len(process.session_members(started.pid)) == 2
    process.stop([pid_file], grace=5)
    assert process.session_members(started.pid) == []
    assert not pid_file.exists()


def test_stop_finds_the_helpers_of_a_killed_leader(tmp_path: Path) -> None:
    pid_file, log = tmp_path / "a.pid", tmp_path / "a.log"
    script = "sleep 60 & echo started; kill -9 $$"
    started = process.start(["/bin/sh", "-c", script], pid_file, log, {"PATH": "/usr/bin:/bin"}, tmp_path)
    assert process.wait_until(lambda: not process.is_alive(started), 5)
    assert process.session_members(started.pid) != []
    process.stop([pid_file], grace=5)
    assert process.session_members(started.pid) == []


def test_a_missing_program_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DevcloudError, match=r"cannot run /no/such: .*; run `python3 -m deploy.devcloud install`"):
        process.run(["/no/such"], tmp_path / "log", {}, tmp_path, "nothing")


def test_a_failing_program_names_its_log_and_shows_its_end(tmp_path: Path) -> None:
    with pytest.raises(DevcloudError) as caught:
        process.run(["/bin/sh", "-c", "echo reason; exit 3"], tmp_path / "log", {}, tmp_path, "the step")
    first, *rest = str(caught.value).splitlines()
    assert first == f"the step failed (exit code 3); see {tmp_path / 'log'}"
    assert rest == ["    reason"]
