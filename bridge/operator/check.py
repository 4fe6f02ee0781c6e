"""`cascade check`: what can be seen from here of the middle and of the cascading cloud, and how to mend it."""

from collections.abc import Awaitable, Callable

from bridge.core.records import SiteSpec
from bridge.operator import check_cloud, check_middle, check_rabbit
from bridge.operator.context import Context
from bridge.operator.finding import COLUMNS, Finding, Verdict, unseen, wrong
from proto.errors import CascadeError

__all__ = ["COLUMNS", "run"]

# ARCHITECTURE 13: what no API and no RPC tells.
UNSEEN = (
    unseen(
        "discover_hosts",
        "shows only while a new host is unmapped",
        "[scheduler] discover_hosts_in_cells_interval = 60 in nova.conf of one nova-scheduler",
    ),
    unseen(
        "max_attempts",
        "without reschedule a full site is a failed boot",
        "[scheduler] max_attempts = 3 in nova.conf of nova-conductor and nova-scheduler",
    ),
    unseen(
        "resize inside a site",
        "a site is one host above",
        "[DEFAULT] allow_resize_to_same_host = true in nova.conf of nova-api and nova-scheduler",
    ),
    unseen(
        "servicegroup",
        "heartbeats are written to the database",
        "[servicegroup] driver = db (the default) in nova.conf of nova-api and nova-scheduler",
    ),
    unseen(
        "new services",
        "a new host must not begin disabled for ever",
        "[DEFAULT] enable_new_services = true (the default) in nova.conf of nova-conductor",
    ),
    unseen(
        "server groups",
        "a site is one host above: anti-affinity is the site's own to keep, affinity means one site",
        "[filter_scheduler] enabled_filters without ServerGroupAntiAffinityFilter for nova-scheduler only "
        "(/etc/nova/nova-scheduler.conf); nova-conductor refuses groups whose filter its own configuration lacks",
    ),
)


async def run(context: Context) -> list[Finding]:
    """Return every finding; a part that cannot be looked at is itself a finding. Changes nothing."""
    sites: list[SiteSpec] = []
    findings = await _part("etcd", lambda: check_middle.etcd(context, sites))
    findings += await _part("nats", lambda: check_middle.nats(context, sites))
    findings += check_middle.keys_of_bridge(context)
    findings += await _part("rabbitmq", lambda: check_rabbit.rabbit(context))
    findings += await _part("cascading cloud", lambda: check_cloud.cloud(context, sites))
    return findings + list(UNSEEN)


async def _part(name: str, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await look()
    except CascadeError as error:
        return [wrong(name, str(error), "see the message")]


def failed(findings: list[Finding]) -> bool:
    """Whether something must be mended."""
    return any(finding.verdict is Verdict.WRONG for finding in findings)
