"""Ports: free ones, each once."""

import socket

import pytest

from deploy.devcloud import ports
from deploy.devcloud.errors import DevcloudError


def test_every_name_gets_a_port_of_its_own_that_nobody_has() -> None:
    taken = set(range(ports.FIRST_PORT, ports.LAST_PORT - 200))
    chosen = ports.pick([f"service{number}" for number in range(50)], taken)
    assert len(set(chosen.values())) == 50
    assert not taken & set(chosen.values())
    assert all(ports.FIRST_PORT <= port < ports.LAST_PORT for port in chosen.values())


def test_a_used_up_range_is_an_error() -> None:
    with pytest.raises(DevcloudError, match="no free TCP port"):
        ports.pick(["a"], range(ports.FIRST_PORT, ports.LAST_PORT))


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind((ports.LOOPBACK, 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.answers(port)
    assert ports.is_free(port)
    assert not ports.answers(port)
