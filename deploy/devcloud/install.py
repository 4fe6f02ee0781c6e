"""Installs what the clouds stand on: Debian packages, and OpenStack into an environment of its own."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.devcloud import process, rabbitmq
from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.infra import SYSTEM_PATH
from deploy.devcloud.paths import Layout
from deploy.devcloud.progress import step
from deploy.devcloud.releases import CURRENT, Release, named

PACKAGES = {
    "mariadb-server": "/usr/sbin/mariadbd",
    "mariadb-client": "/usr/bin/mariadb",
    "rabbitmq-server": str(rabbitmq.BIN / "rabbitmq-server"),
    "memcached": "/usr/bin/memcached",
}
"""Debian package -> a file whose presence means that it is installed."""
POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian's installer asks this program whether it may start a service; 101 means no."""


def ensure(layout: Layout, release: Release) -> None:
    """Installs what clouds of a release need and is missing; quick if nothing is.

    The current release comes always: its environment has the client, for clouds of every release.
    """
    for one in dict.fromkeys((CURRENT.name, release.name)):
        ensure_packages(layout, {**PACKAGES, **named(one).packages})
        ensure_environment(layout, named(one))


def ensure_packages(layout: Layout, wanted: Mapping[str, str]) -> None:
    """Installs missing Debian packages without starting their services; as another user than root, says what to do."""
    missing = [package for package, file in wanted.items() if not Path(file).exists()]
    if shutil.which("uv") is None and importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    if not missing:
        return
    command = f"apt-get update && apt-get install --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or not shutil.which("apt-get", path=SYSTEM_PATH):
        raise DevcloudError(f"missing: {', '.join(missing)}; install them as root, on Debian: {command}")
    log = layout.root / "install.log"
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": SYSTEM_PATH}
    with step(f"apt packages installed: {', '.join(missing)}"), services_not_started():
        process.run(["apt-get", "update"], log, env, Path("/"), "apt-get update")
        install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
        process.run(install, log, env, Path("/"), "apt-get install")


@contextmanager
def services_not_started() -> Iterator[None]:
    """While the block runs, Debian packages do not start their services. A policy that is there already stays."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def ensure_environment(layout: Layout, release: Release) -> None:
    """Makes the release's environment from its locked requirements, unless one of exactly these is there."""
    venv = release.venv(layout)
    stamp = venv / "requirements.installed"
    wanted = release.requirements.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    layout.root.mkdir(parents=True, exist_ok=True)
    with step(f"OpenStack {release.name} installed"):
        make_environment(layout, venv, release.requirements)
    with step(f"OpenStack {release.name} compiled to bytecode"):
        compile_bytecode(venv)
    stamp.write_text(wanted)


def make_environment(layout: Layout, venv: Path, requirements: Path) -> None:
    """A fresh environment with everything of the lock file, by uv: the caller's, or one installed into it."""
    log, env, python = layout.root / "install.log", dict(os.environ), str(venv / "bin" / "python")
    uv = shutil.which("uv")
    make = [sys.executable, "-m", "venv", "--clear", *(["--without-pip"] if uv else []), str(venv)]
    process.run(make, log, env, layout.root, "python3 -m venv (Debian: apt-get install python3-venv)")
    if uv is None:
        process.run([python, "-m", "pip", "install", "-q", "uv"], log, env, layout.root, "pip install uv")
        uv = str(venv / "bin" / "uv")
    install = [uv, "pip", "install", "--python", python, "--require-hashes", "-r", str(requirements)]
    process.run(install, log, env, layout.root, "installing OpenStack")


def compile_bytecode(venv: Path) -> None:
    """Compiles all modules once: uv does not, and the first start of every service would take twice as long.

    Some packages ship templates that are no valid Python; what does not compile does not matter.
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    packages = next((venv / "lib").glob("python3*")) / "site-packages"
    command = [str(venv / "bin" / "python"), "-m", "compileall", "-qq", "-j", "2", str(packages)]
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
