"""The demo's processes and files: brings the parts up in order, and ends them. For `make demo` and tests/e2e."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.devcloud import process
from deploy.embedded.middle import Middle
from proto.errors import Misconfigured

REPOSITORY = Path(__file__).resolve().parents[2]
TOP = "top"
SITES = ("paris", "oslo")
GRACE = 15.0  # s a daemon has after SIGTERM
ONLINE = 90.0  # s until an enrolled site must be online


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything under one state directory ($CASCADE_STATE_DIR or .state of the repository)."""

    state: Path
    top: str = TOP  # name of the cascading cloud

    @classmethod
    def default(cls) -> "Stack":
        """Return the usual one."""
        configured = os.environ.get("CASCADE_STATE_DIR")
        return cls(Path(configured).resolve() if configured else REPOSITORY / ".state")

    @property
    def directory(self) -> Path:
        """Where the demo's own files are."""
        return self.state / "demo"

    @property
    def clouds_yaml(self) -> Path:
        """Entries of all clouds."""
        return self.state / "clouds.yaml"

    @property
    def middle(self) -> Middle:
        """NATS and etcd."""
        return Middle(self.state / "middle")

    @property
    def bridge_conf(self) -> Path:
        """The bridge's options."""
        return self.directory / "bridge.conf"

    @property
    def openstack(self) -> Path:
        """The stock OpenStack client."""
        return self.state / "venv-openstack" / "bin" / "openstack"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of everything started here."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "CASCADE_FAILPOINT"))}
        own = {
            "OS_CLIENT_CONFIG_FILE": str(self.clouds_yaml),
            "CASCADE_STATE_DIR": str(self.state),
            "PYTHONUNBUFFERED": "1",
            "MALLOC_ARENA_MAX": "2",
        }
        return {**kept, **own, **(extra or {})}

    def devcloud(self, *arguments: str) -> None:
        """Run `deploy.devcloud`, which tells its own progress; Misconfigured if it fails."""
        command = [sys.executable, "-m", "deploy.devcloud", *arguments]
        if subprocess.run(command, cwd=REPOSITORY, env=self.environment(), check=False).returncode:
            raise Misconfigured(f"deploy.devcloud {' '.join(arguments)} failed: see the lines above")

    def write_configuration(self) -> None:
        """Write the bridge's and the agents' files; needs the clouds and the middle."""
        self.write_bridge_configuration()
        for site in SITES:
            self.write_agent_configuration(site)

    def write_bridge_configuration(self) -> None:
        """Write the bridge's file; needs the cascading cloud and the middle."""
        self.directory.mkdir(parents=True, exist_ok=True)
        cloud = json.loads((self.state / "clouds" / self.top / "cloud.json").read_text())
        own = f"[DEFAULT]\ntransport_url = {cloud['transport_url']}\n\n[cascading]\ncloud = {self.top}-service\n\n"
        self.bridge_conf.touch(mode=0o600)
        self.bridge_conf.write_text(own + self.middle.config.read_text())

    def write_agent_configuration(self, site: str) -> None:
        """Write the file of one site's agent; needs the middle."""
        bundle = self.bundle(site)
        text = f"[site]\nbundle = {bundle}\ncloud = {site}-agent\n\n[nats]\nservers = {self.middle.nats.url}\n"
        self.agent_conf(site).write_text(text)

    def agent_conf(self, site: str) -> Path:
        """Options of a site's agent."""
        return self.directory / f"{site}.conf"

    def bundle(self, site: str) -> Path:
        """What `cascade site add` made for a site."""
        return self.directory / f"{site}.bundle"

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> process.Process:
        """Start ``bridge`` or the agent of a site, unless it runs."""
        running = process.find(self.pid_file(name))
        if running is not None:
            return running
        scripts = Path(sysconfig.get_path("scripts"))
        program = "cascade-bridge" if name == "bridge" else "cascade-agent"
        conf = self.bridge_conf if name == "bridge" else self.agent_conf(name)
        command = [str(scripts / program), "--config-file", str(conf)]
        return process.start(command, self.pid_file(name), self.log(name), self.environment(environment), REPOSITORY)

    def stop(self, *names: str) -> None:
        """Stop daemons in good order."""
        process.stop([self.pid_file(name) for name in names], GRACE)

    def pid_file(self, name: str) -> Path:
        """Pid file of a daemon."""
        return self.directory / "pids" / name

    def log(self, name: str) -> Path:
        """Log of a daemon."""
        return self.directory / "log" / f"{name}.log"

    def cascade(self, *arguments: str) -> str:
        """Run the operator's command and return what it prints; Misconfigured with its own line if it fails."""
        scripts = Path(sysconfig.get_path("scripts"))
        command = [str(scripts / "cascade"), "--config-file", str(self.bridge_conf), *arguments]
        return run(command, self.environment())

    def sites(self) -> dict[str, dict[str, Any]]:
        """Return `cascade site list` by name."""
        return {row["name"]: row for row in json.loads(self.cascade("site", "list", "-f", "json"))}

    def client(self, cloud: str, *arguments: str) -> str:
        """Run the stock client as a user of a cloud and return what it prints."""
        return run([str(self.openstack), "--os-cloud", cloud, *arguments], self.environment())

    def wait_online(self) -> None:
        """Return when every site is online; Misconfigured with the reason after ONLINE s."""
        wait(
            lambda: all(row.get("state") == "online" for row in self.sites().values()),
            ONLINE,
            f"the sites are not online; see {self.log('bridge').parent}",
        )

    def wait_enabled(self, *sites: str) -> None:
        """Return when Nova above may schedule to these sites."""
        arguments = ("compute", "service", "list", "--service", "nova-compute", "-f", "json")

        def enabled() -> bool:
            listed = {row["Host"]: row for row in json.loads(self.client(self.top, *arguments))}
            return all(listed.get(site, {}).get("Status") == "enabled" for site in sites)

        wait(enabled, ONLINE, f"Nova above does not use the sites; see {self.log('bridge')}")

    def forget_all(self) -> None:
        """Remove the demo's own files and the middle's data: the clouds they speak of are gone."""
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.middle.directory, ignore_errors=True)


def run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return what a program prints; Misconfigured with its last line if it fails."""
    done = subprocess.run(command, env=dict(environment), cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Misconfigured(f"{Path(command[0]).name} {' '.join(command[1:])}: {lines[-1] if lines else 'failed'}")
    return done.stdout


def wait(condition: Callable[[], bool], timeout: float, complaint: str, pause: float = 0.5) -> None:
    """Return when the condition holds; Misconfigured with the complaint after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Misconfigured(f"{complaint} (waited {timeout:.0f} s)")
        time.sleep(pause)
