"""cascade-agent: settings, then the road and the site, then everything that runs until SIGTERM."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator

from proto import logs, tracing
from proto.errors import Misconfigured
from proto.operations import Lane
from proto.spool import Spool
from proto.transfer import Transfers
from site_agent import check, queries, settings, site
from site_agent.edge.cloud import Cloud
from site_agent.executor import Executor, end
from site_agent.heartbeat import Heartbeat
from site_agent.observer import Observer, Pace
from site_agent.road import connected

LOG = logging.getLogger(__name__)


def main() -> int:
    """Run the agent, or `check`; returns the exit code. 1: what is wrong with a setting or a server is on stderr."""
    arguments = sys.argv[1:]
    try:
        if arguments[:1] == ["check"]:
            return check.main(arguments[1:])
        chosen = settings.load(arguments)
        with logs.about(logs.Work(chosen.bundle.site)):
            asyncio.run(run(chosen))
    except Misconfigured as error:
        print(f"cascade-agent: {error}", file=sys.stderr)
        return 1
    except Exception as crash:
        LOG.critical("a part of the agent crashed", exc_info=crash)
        return 1
    finally:
        tracing.shut_down()
    return 0


async def run(chosen: settings.Settings) -> None:
    """Connect, work until SIGTERM or SIGINT, finish what runs, leave."""
    if chosen.tracing:
        tracing.set_up("cascade-agent", chosen.otlp_endpoint, {"cascade.site": chosen.bundle.site})
    async with _connected(chosen) as here:
        executor = Executor(here, chosen.slots)
        stopping = _stop_on_signal()
        answers = await queries.serve(here)
        async with asyncio.TaskGroup() as group:
            pullers = [group.create_task(executor.pull(lane), name=f"pull {lane}") for lane in Lane]
            others = _watch(group, here, executor, chosen)
            notify("READY=1")
            LOG.info("ready: site %s, epoch %d", here.name, here.epoch.number)
            await stopping.wait()
            notify("STOPPING=1")
            await end(pullers)
            await executor.stop(chosen.shutdown_grace)
            await end(others)
        for subscription in answers:
            await subscription.stop()
        LOG.info("stopped")


def _watch(
    group: asyncio.TaskGroup, here: site.Site, executor: Executor, chosen: settings.Settings
) -> list[asyncio.Task[None]]:
    pace = Pace(chosen.poll_fast, chosen.poll_slow, chosen.overlap, chosen.resync_interval)
    observer = Observer(here, pace, lambda: executor.busy)
    heartbeat = Heartbeat(here, lambda: executor.busy, chosen.status_interval, chosen.capacity_interval)
    return [
        group.create_task(here.epoch.run(), name="epoch"),
        group.create_task(observer.run(), name="observer"),
        group.create_task(heartbeat.beat(), name="heartbeat"),
        group.create_task(heartbeat.measure(), name="capacity"),
    ]


@contextlib.asynccontextmanager
async def _connected(chosen: settings.Settings) -> AsyncIterator[site.Site]:
    """The site behind both connections; Misconfigured if either cannot be had."""
    async with connected(chosen) as road:
        # Each running command needs a thread at most times, and each image that is put into the site one for long.
        threads = 2 * chosen.slots + chosen.parallel
        cloud = await Cloud.connect(chosen.cloud, chosen.request_timeout, threads)
        try:
            transfers = Transfers(Spool(chosen.spool_directory), chosen.parallel)
            yield site.make(chosen.bundle, chosen.key, cloud, road, transfers, shared=chosen.shared)
        finally:
            cloud.close()


def _stop_on_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing happens elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, contextlib.suppress(OSError):
        channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


if __name__ == "__main__":
    sys.exit(main())
