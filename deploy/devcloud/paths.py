"""Where everything lives, relative to the state directory."""

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent.parent
RUNTIME = PACKAGE / "runtime"
NEUTRON_PACKAGE = REPOSITORY / "deploy" / "neutron"
STATE_VARIABLE = "CASCADE_STATE_DIR"


@dataclass(frozen=True, slots=True)
class Layout:
    """The state directory and what is in it; nothing is created by asking for a path."""

    root: Path

    @property
    def cache(self) -> Path:
        """Schema dumps by hash of versions; may be deleted at any time."""
        return self.root / "cache"

    @property
    def plugins(self) -> Path:
        """The entry points of our own Neutron drivers, found through PYTHONPATH."""
        return self.root / "plugins"

    @property
    def infra(self) -> Path:
        """MariaDB and RabbitMQ, shared by all clouds."""
        return self.root / "infra"

    @property
    def clouds(self) -> Path:
        """One directory per cloud."""
        return self.root / "clouds"

    @property
    def clouds_yaml(self) -> Path:
        """What OpenStack clients read; rewritten whenever a cloud comes or goes."""
        return self.root / "clouds.yaml"

    @property
    def lock(self) -> Path:
        """Held by the one command that changes this state directory."""
        return self.root / "devcloud.lock"

    def cloud(self, name: str) -> Path:
        """The directory of one cloud."""
        return self.clouds / name


def layout() -> Layout:
    """The layout under $CASCADE_STATE_DIR, or under `.state` of this repository."""
    configured = os.environ.get(STATE_VARIABLE)
    return Layout(Path(configured).resolve() if configured else REPOSITORY / ".state")
