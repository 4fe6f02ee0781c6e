"""Database schemas: migrated once per set of versions, dumped, and restored for every further cloud.

Only schemas are cached. Everything with an id is made afresh per cloud, on purpose: equal ids in two clouds would hide
a missing mapping of ids in the product.
"""

import hashlib
import uuid
from functools import partial
from pathlib import Path

from deploy.devcloud import database, parallel, process
from deploy.devcloud.cloud import Cloud
from deploy.devcloud.config import Config, Site, render
from deploy.devcloud.environment import service_environment
from deploy.devcloud.infra import MARIADB, Infra
from deploy.devcloud.paths import Layout
from deploy.devcloud.ports import LOOPBACK
from deploy.devcloud.progress import step
from deploy.devcloud.releases import Release

CELL0 = "nova_cell0"
CELL0_UUID = "00000000-0000-0000-0000-000000000000"
MIGRATIONS = {
    "keystone": ("database", ["keystone-manage", "--config-file", "{file}", "db_sync"]),
    "placement": ("placement_database", ["placement-manage", "--config-file", "{file}", "db", "sync"]),
    "glance": ("database", ["glance-manage", "--config-file", "{file}", "db_sync"]),
    "neutron": ("database", ["neutron-db-manage", "--config-file", "{file}", "upgrade", "heads"]),
    "nova_api": ("api_database", ["nova-manage", "--config-file", "{file}", "api_db", "sync"]),
    "nova": ("database", ["nova-manage", "--config-file", "{file}", "db", "sync", "--local_cell"]),
    "cinder": ("database", ["cinder-manage", "--config-file", "{file}", "db", "sync"]),
}
"""Schema -> section of its connection, command that migrates it."""


def cache_directory(layout: Layout, release: Release) -> Path:
    """Where the dumps of exactly these versions belong."""
    return layout.cache / hashlib.sha256(release.requirements.read_bytes()).hexdigest()[:16]


def ensure_cache(layout: Layout, infra: Infra, release: Release) -> None:
    """Migrates and dumps every schema that has no dump yet (about a minute for all); else does nothing."""
    directory = cache_directory(layout, release)
    known = [name for name in MIGRATIONS if name != "cinder" or release.has_cinder]
    missing = [name for name in known if not (directory / f"{name}.sql").exists()]
    if not missing:
        return
    directory.mkdir(parents=True, exist_ok=True)
    with step(f"schemas migrated (only once): {', '.join(missing)}"):
        parallel.run(partial(migrate, layout, infra, release, name) for name in missing)


def migrate(layout: Layout, infra: Infra, release: Release, name: str) -> None:
    """Makes one schema in a scratch database and dumps it."""
    section, command = MIGRATIONS[name]
    directory, schema = cache_directory(layout, release), f"scratch_{name}"
    database.create_schemas(infra, [schema])
    account = f"devcloud:{infra.password}@{LOOPBACK}:{infra.ports[MARIADB]}"
    connection = f"mysql+pymysql://{account}/{schema}?charset=utf8mb3"
    config: Config = {"DEFAULT": {"use_stderr": "true"}}
    config.setdefault(section, {})["connection"] = connection
    file = directory / f"{name}.conf"
    file.touch(mode=0o600)
    file.write_text(render(config))
    arguments = [argument.format(file=file) for argument in command]
    arguments[0] = str(release.venv(layout) / "bin" / arguments[0])
    process.run(arguments, directory / f"{name}.log", service_environment(layout), directory, f"migrating {name}")
    database.dump(infra, schema, directory / f"{name}.sql")
    database.drop_schemas(infra, [schema], schema)
    file.unlink()


def schema_names(cloud: Cloud) -> list[str]:
    """All schemas a cloud may have, also cinder's when it has no Cinder."""
    return [cloud.schema(name) for name in (*MIGRATIONS, CELL0)]


def create(site: Site) -> None:
    """Makes and fills the schemas of a cloud, and maps its two Nova cells."""
    cloud, infra = site.cloud, site.infra
    directory = cache_directory(site.layout, site.release)
    wanted = {name: name for name in MIGRATIONS if name != "cinder" or cloud.options.cinder}
    wanted[CELL0] = "nova"
    database.create_schemas(infra, [cloud.schema(name) for name in wanted], cloud.name, cloud.secrets["database"])
    parallel.run(
        partial(database.restore, infra, directory / f"{source}.sql", cloud.schema(name))
        for name, source in wanted.items()
    )
    database.execute(infra, cell_mappings(site), cloud.schema("nova_api"))
    if cloud.options.cinder:
        database.execute(infra, new_default_volume_type(), cloud.schema("cinder"))


def cell_mappings(site: Site) -> str:
    """SQL for cell0 and the cell: what two runs of nova-manage (3-4 s each) would do."""
    rows = [
        (CELL0_UUID, "cell0", "none:///", site.connection(CELL0)),
        (str(uuid.uuid4()), "cell1", site.transport_url, site.connection("nova")),
    ]
    values = ", ".join("(NOW(), " + ", ".join(f"'{value}'" for value in row) + ", 0)" for row in rows)
    columns = "created_at, uuid, name, transport_url, database_connection, disabled"
    return f"INSERT INTO cell_mappings ({columns}) VALUES {values};"


def new_default_volume_type() -> str:
    """SQL that gives the type `__DEFAULT__`, which Cinder's migration makes, an id of this cloud's own."""
    return (
        "SET FOREIGN_KEY_CHECKS=0; "
        "SELECT id INTO @old FROM volume_types WHERE name = '__DEFAULT__'; SET @new = UUID(); "
        "UPDATE volume_types SET id = @new WHERE id = @old; "
        "UPDATE quota_classes SET resource = REPLACE(resource, @old, @new); "
        "SET FOREIGN_KEY_CHECKS=1;"
    )
