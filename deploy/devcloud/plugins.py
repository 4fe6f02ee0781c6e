"""Makes our Neutron drivers visible to stevedore without installing anything.

A `NAME-VERSION.dist-info` directory with an entry_points.txt on PYTHONPATH is enough.
"""

import tomllib

from deploy.devcloud.paths import NEUTRON_PACKAGE, Layout

GROUP = "neutron.ml2.mechanism_drivers"
SITE_DRIVERS = {"devcloud": "devcloud_ml2:DevcloudMechanismDriver"}


def write(layout: Layout) -> None:
    """Writes the entry points of the sites' driver, and of the product's as its own pyproject.toml names them."""
    project = tomllib.loads((NEUTRON_PACKAGE / "pyproject.toml").read_text())["project"]
    write_distribution(layout, "devcloud_ml2", "1", SITE_DRIVERS)
    write_distribution(layout, "cascade_ml2", project["version"], project["entry-points"][GROUP])


def write_distribution(layout: Layout, name: str, version: str, drivers: dict[str, str]) -> None:
    """Writes one dist-info directory."""
    directory = layout.plugins / f"{name}-{version}.dist-info"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{driver} = {target}" for driver, target in drivers.items()]
    (directory / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
