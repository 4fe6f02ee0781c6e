"""What becomes of a message once its outcome is recorded, or nobody can carry it out."""

import logging

from proto import subjects
from proto.errors import Unavailable
from proto.jetstream import Delivery, JetStream

LOG = logging.getLogger(__name__)


async def acknowledge(delivery: Delivery) -> None:
    """The outcome is recorded, so an acknowledgement that does not get through only costs a redelivery."""
    try:
        await delivery.ack()
    except Unavailable as error:
        LOG.warning("%s", error)


async def bury(road: JetStream, site: str, delivery: Delivery, reason: str) -> None:
    """Copy a message nobody can carry out to DEAD, then take it out of its stream."""
    LOG.error("site=%s dead letter from %s: %s", site, delivery.subject, reason)
    headers = {subjects.HEADER_DEAD_REASON: reason[:500], subjects.HEADER_DEAD_SUBJECT: delivery.subject}
    await road.publish(subjects.dead_above(site), delivery.data, headers=headers)
    await delivery.term()
