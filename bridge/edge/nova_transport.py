"""oslo.messaging transports to a cell's RabbitMQ, with defaults for one process that stands for many hosts."""

import logging
import time
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_messaging._drivers import amqp, impl_rabbit

from proto.errors import Misconfigured

EXCHANGE = "nova"  # default of [DEFAULT] control_exchange, as in Nova
SEND_CONNECTIONS = 2  # of one transport: publishing takes 2-5 ms, replies and the conductor share them
AMQP_HEARTBEAT = 15  # s; RabbitMQ takes the hosts of a paused bridge back after twice that
RECONNECT_WAIT = 5  # s between two tries at the most; oslo's own 30 s would hold up calls after an outage
REPEAT_INTERVAL = 60  # s between two equal complaints of oslo.messaging about a server that is away

_GROUP = "oslo_messaging_rabbit"
_DRIVER_LOGGER = "oslo.messaging._drivers.impl_rabbit"  # oslo.log replaces the underscore of oslo_
_POOL_LOGGER = "oslo.messaging._drivers.pool"


def transport(url: str | None = None) -> Any:
    """Return a transport to ``url``, else to [DEFAULT] transport_url; does not connect. May be called repeatedly.

    Reads [oslo_messaging_rabbit], which must be as in the cloud's nova.conf, from the global cfg.CONF: oslo.messaging
    18 needs that one for its tracing and metrics options.
    """
    conf = cfg.CONF
    conf.register_opts([*impl_rabbit.rabbit_opts, *amqp.amqp_opts], group=_GROUP)
    conf.set_default("rpc_conn_pool_size", SEND_CONNECTIONS, group=_GROUP)
    conf.set_default("heartbeat_timeout_threshold", AMQP_HEARTBEAT, group=_GROUP)
    conf.set_default("rabbit_interval_max", RECONNECT_WAIT, group=_GROUP)
    oslo_messaging.set_transport_defaults(EXCHANGE)
    # Waiting for one of the few connections is what we want, not a reason to warn.
    logging.getLogger(_POOL_LOGGER).setLevel(logging.ERROR)
    driver_logger = logging.getLogger(_DRIVER_LOGGER)
    if not any(isinstance(item, _OncePerMinute) for item in driver_logger.filters):
        driver_logger.addFilter(_OncePerMinute())
    try:
        return oslo_messaging.get_rpc_transport(conf, url=url)
    except (oslo_messaging.InvalidTransportURL, oslo_messaging.DriverLoadFailure) as error:
        raise Misconfigured("transport_url must be like rabbit://user:password@host:5672/vhost") from error


class _OncePerMinute(logging.Filter):
    """Lets one record of a text pass each REPEAT_INTERVAL s: oslo.messaging repeats itself at every try."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a record that was not said lately."""
        text = str(record.msg)
        now = time.monotonic()
        if now - self._last.get(text, float("-inf")) < REPEAT_INTERVAL:
            return False
        self._last[text] = now
        return True
