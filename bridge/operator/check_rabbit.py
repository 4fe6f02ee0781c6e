"""The part of `cascade check` about RabbitMQ: are bridge and Nova on the same exchange, with the same settings."""

import asyncio
from typing import Any

from bridge.operator.context import Context
from bridge.operator.finding import Finding, ok, warning, wrong

UNSET = "rabbit://"  # default of [DEFAULT] transport_url
CONDUCTOR = "nova-conductor"
QUEUE = "conductor"  # every nova-conductor consumes it
PATIENCE = 10  # s for nova-conductor to answer a ping
SAME = "the same [oslo_messaging_rabbit] options in this file as in nova.conf"


async def rabbit(context: Context) -> list[Finding]:
    """Connect, compare queue settings, and ping nova-conductor; declares nothing that is not there."""
    context.conf  # noqa: B018 - oslo.messaging reads the global CONF, which this loads
    import oslo_messaging  # noqa: F401 - imported first in another thread, it keeps that thread from ending

    return await asyncio.to_thread(_look)


def _look() -> list[Finding]:
    import kombu.exceptions
    import oslo_messaging
    from oslo_config import cfg

    from bridge.edge.nova_listener import CONNECTION_ERRORS
    from bridge.edge.nova_transport import transport

    road = transport()
    if cfg.CONF.transport_url == UNSET:
        return [wrong("rabbitmq", "[DEFAULT] transport_url is not set", "the transport_url of the cascading cell")]
    try:
        # A clone of kombu's connection (TLS and credentials as set): the driver's own reads time out at once.
        with road._driver._get_connection(retry=1) as pooled, pooled.connection.connection.clone() as connection:
            findings = [ok("rabbitmq", "answers"), *_queue(connection, cfg.CONF)]
        return findings if _missing(findings) else [*findings, _ping(road)]
    except (*CONNECTION_ERRORS, kombu.exceptions.KombuError, oslo_messaging.MessagingException) as error:
        return [wrong("rabbitmq", f"no connection: {error}", "[DEFAULT] transport_url as in nova.conf of the cell")]
    finally:
        road.cleanup()


def _missing(findings: list[Finding]) -> bool:
    return any(finding.check == CONDUCTOR for finding in findings)


def _queue(connection: Any, conf: Any) -> list[Finding]:
    """Compare how we would declare Nova's queue with how it is; ``connection`` is kombu's."""
    import amqp.exceptions

    options = conf.oslo_messaging_rabbit
    try:
        connection.channel().queue_declare(QUEUE, passive=True)
    except amqp.exceptions.NotFound:
        mend = "start nova-conductor, or name the virtual host of its transport_url here"
        return [wrong(CONDUCTOR, f"no queue {QUEUE!r} on this virtual host", mend)]
    arguments = {"x-queue-type": "quorum"} if options.rabbit_quorum_queue else {}
    durable, auto_delete = bool(options.amqp_durable_queues), bool(options.amqp_auto_delete)
    try:
        connection.channel().queue_declare(QUEUE, durable=durable, auto_delete=auto_delete, arguments=arguments)
    except amqp.exceptions.PreconditionFailed as error:
        return [wrong("queue settings", f"differ from Nova's: {error.message}", SAME)]
    findings = [ok("queue settings", "as Nova's")]
    if not durable and not arguments:
        mend = "[oslo_messaging_rabbit] amqp_durable_queues = true (or rabbit_quorum_queue) in nova.conf and here"
        findings.append(warning("durable queues", "a restart of RabbitMQ loses every queued operation", mend))
    return findings


def _ping(road: Any) -> Finding:
    import oslo_messaging

    target = oslo_messaging.Target(topic=QUEUE, namespace="baseapi", version="1.0")
    client = oslo_messaging.get_rpc_client(road, target, timeout=PATIENCE)
    try:
        answer = client.call({"is_admin": True}, "ping", arg="cascade")
    except (oslo_messaging.MessagingException, oslo_messaging.RemoteError) as error:
        return wrong(CONDUCTOR, f"does not answer: {error}", "look at nova-conductor's log")
    return ok(CONDUCTOR, f"answers as {answer.get('service', answer)}")
