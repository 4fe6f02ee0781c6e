"""The environment of OpenStack's own processes."""

from deploy.devcloud.infra import system_environment
from deploy.devcloud.paths import NEUTRON_PACKAGE, RUNTIME, Layout


def service_environment(layout: Layout, **extra: str) -> dict[str, str]:
    """Nothing of the caller's shell; a small malloc (RSS); caches and home inside the state directory."""
    home = str(layout.root / "home")
    return system_environment(
        HOME=home,
        XDG_CACHE_HOME=f"{home}/.cache",
        PYTHONPATH=f"{layout.plugins}:{NEUTRON_PACKAGE}:{RUNTIME}",
        MALLOC_ARENA_MAX="2",
        PYTHONUNBUFFERED="1",
        **extra,
    )
