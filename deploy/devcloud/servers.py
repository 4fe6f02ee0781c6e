"""Starts and stops the shared servers together."""

from functools import partial

from deploy.devcloud import mariadb, parallel, process, rabbitmq
from deploy.devcloud.infra import EPMD, MARIADB, RABBITMQ, STOP_GRACE, Infra


def ensure_running(infra: Infra) -> None:
    """Starts what does not run and waits until both servers answer. May be repeated."""
    parallel.run([partial(mariadb.ensure_running, infra), partial(rabbitmq.ensure_running, infra)])


def stop(infra: Infra) -> None:
    """Ends the shared servers; epmd last, because a node without it cannot stop in order."""
    process.stop([infra.pid_file(MARIADB), infra.pid_file(RABBITMQ)], STOP_GRACE)
    process.stop([infra.pid_file(EPMD)], STOP_GRACE)
