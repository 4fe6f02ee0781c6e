"""Installs Tempest's release into an environment of its own below the state directory."""

from pathlib import Path

from deploy.devcloud.install import make_environment
from deploy.devcloud.paths import Layout
from deploy.devcloud.progress import step

REQUIREMENTS = Path(__file__).with_name("requirements.lock")


def ensure(state: Path) -> Path:
    """Return the Python of an environment with exactly the locked requirements; makes it unless it is there."""
    venv = state / "venv-tempest"
    stamp = venv / "requirements.installed"
    wanted = REQUIREMENTS.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        with step("Tempest installed"):
            make_environment(Layout(state), venv, REQUIREMENTS)
        stamp.write_text(wanted)
    return venv / "bin" / "python"
