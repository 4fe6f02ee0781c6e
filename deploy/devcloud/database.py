"""SQL against the shared MariaDB, and the schemas of a cloud."""

from collections.abc import Sequence
from pathlib import Path

from deploy.devcloud import ports, process
from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.infra import MARIADB, Infra, system_environment

DATABASES = ("keystone", "placement", "glance", "neutron", "nova_api", "nova", "cinder")
"""The schemas that are migrated and cached; nova_cell0 has the same tables as nova."""


def client(infra: Infra, program: str) -> list[str]:
    """The beginning of a mariadb or mariadb-dump command line; the password goes through the environment."""
    port = str(infra.ports[MARIADB])
    return [program, "--no-defaults", "--protocol=tcp", f"--host={ports.LOOPBACK}", f"--port={port}", "--user=devcloud"]


def execute(infra: Infra, sql: str, schema: str = "") -> list[list[str]]:
    """Runs SQL statements; returns the rows of a SELECT as texts. `schema` is where they run."""
    result = run_client(
        infra, [*client(infra, "mariadb"), "--batch", "--skip-column-names", *filter(None, [schema])], sql
    )
    return [line.split("\t") for line in result.splitlines()]


def run_client(infra: Infra, command: Sequence[str], text: str = "") -> str:
    """Runs one of MariaDB's own programs with `text` as its input; its output, or an error with its first words."""
    env = system_environment(MYSQL_PWD=infra.password)
    result = process.call(command, env, text)
    if result.returncode:
        reason = " ".join(result.stderr.split())[:300]
        raise DevcloudError(f"{command[0]} failed: {reason}; see {infra.log(MARIADB)}")
    return result.stdout


def create_schemas(infra: Infra, schemas: Sequence[str], user: str = "", password: str = "") -> None:
    """Makes empty schemas (what had these names is dropped) and, if given, a user who may do everything in them."""
    statements = []
    for schema in schemas:
        statements += [f"DROP DATABASE IF EXISTS `{schema}`", f"CREATE DATABASE `{schema}` CHARACTER SET utf8mb3"]
    if user:
        account = f"'{user}'@'{ports.LOOPBACK}'"
        statements.append(f"CREATE OR REPLACE USER {account} IDENTIFIED BY '{password}'")
        statements += [f"GRANT ALL ON `{schema}`.* TO {account}" for schema in schemas]
    execute(infra, "".join(f"{statement};\n" for statement in statements))


def drop_schemas(infra: Infra, schemas: Sequence[str], user: str) -> None:
    """Removes a cloud's schemas and its user. May be repeated."""
    statements = [f"DROP DATABASE IF EXISTS `{schema}`" for schema in schemas]
    statements.append(f"DROP USER IF EXISTS '{user}'@'{ports.LOOPBACK}'")
    execute(infra, "".join(f"{statement};\n" for statement in statements))


def dump(infra: Infra, schema: str, file: Path) -> None:
    """Writes a schema with its rows to a file that `restore` reads."""
    text = run_client(infra, [*client(infra, "mariadb-dump"), "--skip-comments", schema])
    partial = file.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(file)


def restore(infra: Infra, file: Path, schema: str) -> None:
    """Reads a dump into an empty schema."""
    run_client(infra, [*client(infra, "mariadb"), schema], file.read_text())
