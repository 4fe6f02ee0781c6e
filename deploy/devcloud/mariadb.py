"""The shared MariaDB: start, and what is made the first time."""

import os
from pathlib import Path

from deploy.devcloud import ports, process
from deploy.devcloud.infra import MARIADB, Infra, launch, system_environment
from deploy.devcloud.progress import step


def ensure_running(infra: Infra) -> None:
    """Starts MariaDB; its data directory and administrator are made the first time."""
    if process.find(infra.pid_file(MARIADB)):
        return
    with step("mariadb started"):
        home = infra.home / MARIADB
        if not (home / "mysql").is_dir():
            initialize(infra, home)
        launch(infra, MARIADB, command_line(infra, home), system_environment())


def initialize(infra: Infra, home: Path) -> None:
    """Makes the data directory, and the SQL file that makes the administrator at every start."""
    home.mkdir(parents=True, exist_ok=True)
    command = [
        "mariadb-install-db", "--no-defaults", f"--datadir={home}", "--skip-test-db", "--skip-name-resolve",
        "--auth-root-authentication-method=normal", *root_user(),
    ]  # fmt: skip
    process.run(command, infra.log("mariadb-install"), system_environment(), infra.home, "mariadb-install-db")
    user = f"'devcloud'@'{ports.LOOPBACK}'"
    statements = [
        f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{infra.password}'",
        f"GRANT ALL ON *.* TO {user} WITH GRANT OPTION",
        "DELETE FROM mysql.global_priv WHERE user IN ('root', '')",
        "FLUSH PRIVILEGES",
    ]
    file = home / "init.sql"
    file.touch(mode=0o600)
    file.write_text("".join(f"{statement};\n" for statement in statements))


def root_user() -> list[str]:
    """MariaDB refuses to run as root unless told to."""
    return ["--user=root"] if os.geteuid() == 0 else []


def command_line(infra: Infra, home: Path) -> list[str]:
    """How mariadbd is called. Speed before safety: a power cut may lose data.

    The socket is an abstract one (`@`): it needs no file, whose path could be longer than the 107 bytes Linux allows.
    """
    port = infra.ports[MARIADB]
    return [
        "mariadbd", "--no-defaults", f"--datadir={home}", f"--port={port}", f"--bind-address={ports.LOOPBACK}",
        f"--socket=@cascade-devcloud-{port}", f"--pid-file={home}/mariadbd.pid", f"--init-file={home}/init.sql",
        "--skip-name-resolve", "--innodb-flush-method=nosync", "--skip-innodb-doublewrite", "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=0", "--max-connections=3000", "--character-set-server=utf8mb3",
        "--collation-server=utf8mb3_general_ci", "--performance-schema=OFF", *root_user(),
    ]  # fmt: skip
