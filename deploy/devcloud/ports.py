"""Picks TCP ports on loopback: each once, then kept in the state."""

import random
import socket
from collections.abc import Collection

from deploy.devcloud.errors import DevcloudError

LOOPBACK = "127.0.0.1"
FIRST_PORT = 20000
LAST_PORT = 32000
"""Below 32768, where Linux begins to hand out ports to outgoing connections: a port kept while its service is stopped
must not be taken by somebody's client."""


def is_free(port: int) -> bool:
    """Whether a service could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def pick(names: Collection[str], taken: Collection[int]) -> dict[str, int]:
    """A free port for each name, none of them in `taken`. Raises if the range is used up."""
    candidates = list(range(FIRST_PORT, LAST_PORT))
    random.shuffle(candidates)
    usable = (port for port in candidates if port not in taken and is_free(port))
    chosen = dict(zip(names, usable, strict=False))
    if len(chosen) < len(names):
        raise DevcloudError(f"no free TCP port left between {FIRST_PORT} and {LAST_PORT}; look with `ss -ltn`")
    return chosen


def answers(port: int) -> bool:
    """Whether something accepts connections on this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
