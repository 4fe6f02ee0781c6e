"""Says what runs: clouds, services, pids, ports, memory."""

from typing import Any

from deploy.devcloud import cloud, infra, process, services
from deploy.devcloud.cloud import Cloud
from deploy.devcloud.config import Site
from deploy.devcloud.paths import Layout

SHARED = "(shared)"


def collect(layout: Layout) -> list[dict[str, Any]]:
    """One row per service: cloud, role, service, state, pid, port, rss_mib."""
    shared = infra.load(layout)
    if shared is None:
        return []
    rows = [
        row(SHARED, "", name, shared.pid_file(name), shared.ports[name])
        for name in (infra.MARIADB, infra.RABBITMQ, infra.EPMD)
    ]
    for one in cloud.load_all(layout):
        rows += rows_of(Site(one, shared, layout), one)
    return rows


def rows_of(site: Site, one: Cloud) -> list[dict[str, Any]]:
    """The rows of one cloud; `making` as its role's state is left to `cloud.json`."""
    role = one.options.role if one.ready else f"{one.options.role} (half made)"
    return [
        row(one.name, role, service.name, one.pid_file(service.name), service.port)
        for service in services.everything(site)
    ]


def row(cloud_name: str, role: str, service: str, pid_file: Any, port: int | None) -> dict[str, Any]:
    """What is known of one process."""
    found = process.find(pid_file)
    return {
        "cloud": cloud_name,
        "role": role,
        "service": service,
        "state": "up" if found else "down",
        "pid": found.pid if found else None,
        "port": port,
        "rss_mib": process.resident_mib(found) if found else 0,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text, with each cloud's memory in a last column of its own lines."""
    if not rows:
        return "no clouds; `up NAME` makes one"
    columns = list(rows[0])
    cells = [columns, *([str(one[column] if one[column] is not None else "-") for column in columns] for one in rows)]
    for name in dict.fromkeys(one["cloud"] for one in rows):
        total = sum(one["rss_mib"] for one in rows if one["cloud"] == name)
        cells.append([name, "", "total", "", "", "", str(total)])
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )
