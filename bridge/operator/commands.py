"""From the parsed command line to the work and back to the terminal. What a command needs is imported by it alone."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.operator.context import Context
from bridge.operator.output import listing, record

if TYPE_CHECKING:
    from bridge.operator.site_view import SiteView


def say(text: str) -> None:
    """Tell the operator something that is not the result."""
    print(f"cascade: {text}", file=sys.stderr, flush=True)


async def site_add(args: argparse.Namespace, parser: argparse.ArgumentParser, context: Context) -> int:
    """Enrol a site and, if asked, wait for Nova."""
    from bridge.operator import site_add as adding

    try:
        hosts = adding.parse_hosts(args.site, args.availability_zone)
        servers = adding.check_servers(args.nats_server or list(context.conf.nats.servers))
    except adding.UsageError as error:
        parser.error(str(error))
    bundle = args.bundle or Path(f"{args.site}.bundle")
    await adding.add(context, args.site, hosts, bundle, servers)
    fields = {
        "name": args.site,
        "hosts": [host.host for host in hosts],
        "availability_zones": [host.availability_zone for host in hosts],
        "nats_servers": servers,
        "bundle": str(bundle),
    }
    print(record(fields, args.format), flush=True)
    if adding.only_loopback(servers):
        say("only an agent on this machine can reach that NATS server; --nats-server says another")
    if args.wait is not None:
        from bridge.operator.above import Above
        from bridge.operator.site_wait import until_schedulable

        await until_schedulable(Above(await context.cloud()), hosts, args.wait, say)
    return 0


async def site_list(args: argparse.Namespace, context: Context) -> int:
    """Show all sites."""
    from bridge.operator import site_view

    views = await site_view.all_sites(context)
    print(listing([view.row() for view in views], site_view.COLUMNS, args.format))
    _complain_of_nats(views)
    return 0


async def site_show(args: argparse.Namespace, context: Context) -> int:
    """Show one site."""
    from bridge.operator import site_view

    view = await site_view.one_site(context, args.site)
    print(record(view.fields(), args.format))
    _complain_of_nats([view])
    return 0


def _complain_of_nats(views: "list[SiteView]") -> None:
    trouble = {view.counts.trouble for view in views if view.counts.trouble}
    for text in sorted(trouble):
        say(f"waiting and pending are not known: {text}")


async def site_set(args: argparse.Namespace, parser: argparse.ArgumentParser, context: Context) -> int:
    """Change the spec of a site."""
    from bridge.operator import site_set as setting

    fields = {"image_rate": args.image_rate}
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if args.cap is not None:
        given["caps"] = dict(cap for cap in args.cap if cap is not None)
    given |= dict(args.policy or ())
    if not given and not args.network:
        parser.error("site set: say what to change")
    spec = await setting.change(context, args.site, given, dict(args.network or ()))
    if args.network:
        given["networks"] = spec.networks
    print(record({"name": args.site, **given}, args.format))
    return 0


async def site_disable(args: argparse.Namespace, context: Context) -> int:
    """Drain a site."""
    from bridge.operator import site_drain

    spec = await site_drain.disable(context, args.site, args.reason)
    print(record({"name": spec.site, "draining": spec.draining, "drain_reason": spec.drain_reason}, args.format))
    return 0


async def site_enable(args: argparse.Namespace, context: Context) -> int:
    """End the drain of a site."""
    from bridge.operator import site_drain

    spec = await site_drain.enable(context, args.site)
    print(record({"name": spec.site, "draining": spec.draining}, args.format))
    if spec.given_up:
        hosts = ", ".join(sorted(spec.given_up))
        say(f"{hosts} stays given up until `openstack compute service set --up HOST nova-compute`")
    return 0


async def site_remove(args: argparse.Namespace, context: Context) -> int:
    """Give a site up."""
    from bridge.operator import site_remove as removing

    report = await removing.remove(context, args.site, args.forget)
    fields = {
        "name": report.site,
        "removed_hosts": report.removed_hosts,
        "kept_hosts": sorted(set(report.hosts) - set(report.removed_hosts)),
        "instances_left_above": report.instances,
        "records_dropped": report.records,
        "servers_left": report.servers,
    }
    print(record(fields, args.format))
    if report.instances:
        say("its hosts are forced down: delete the instances above, then repeat the command")
    if report.servers:
        say("these servers may live on in the site, each tagged cascade:<uuid>")
    say("stop its agent; the site's NATS credential stays valid until the account revokes it")
    return 0


async def bridge_list(args: argparse.Namespace, context: Context) -> int:
    """Show the bridges that live."""
    from bridge.operator import bridge_view

    rows, unserved = await bridge_view.rows(context)
    print(listing(rows, bridge_view.COLUMNS, args.format))
    if unserved:
        say(f"no bridge works for {', '.join(unserved)}")
    return 0


async def dead_list(args: argparse.Namespace, context: Context) -> int:
    """Show the dead letters."""
    from bridge.operator import dead_view

    print(listing(await dead_view.rows(context, args.site), dead_view.COLUMNS, args.format))
    return 0


async def dead_show(args: argparse.Namespace, context: Context) -> int:
    """Show one dead letter."""
    from bridge.operator import dead_view

    print(record(await dead_view.fields(context, args.id), args.format))
    return 0


async def dead_replay(args: argparse.Namespace, context: Context) -> int:
    """Have a dead letter carried out after all."""
    from bridge.operator import dead_replay as replaying

    print(await replaying.replay(context, args.id))
    return 0


async def dead_drop(args: argparse.Namespace, context: Context) -> int:
    """Remove a dead letter."""
    from bridge.operator import dead_replay as replaying

    await replaying.drop(context, args.id)
    print(f"dead letter {args.id} is dropped")
    return 0


async def network_list(args: argparse.Namespace, context: Context) -> int:
    """Show the networks in use in sites."""
    from bridge.operator import network_view

    print(listing(await network_view.rows(context), network_view.COLUMNS, args.format))
    return 0


async def image_list(args: argparse.Namespace, context: Context) -> int:
    """Show the images in the sites and on their way."""
    from bridge.operator import image_view

    print(listing(await image_view.rows(context), image_view.COLUMNS, args.format))
    return 0


async def flavor_list(args: argparse.Namespace, context: Context) -> int:
    """Show the versions of all flavors, and how far each site is with them."""
    from bridge.operator import flavor_view

    rows, columns = await flavor_view.rows(context)
    print(listing(rows, columns, args.format))
    return 0


async def flavor_plan(args: argparse.Namespace, context: Context) -> int:
    """Show what a sync would change."""
    from bridge.operator import flavor_view

    print(listing(await flavor_view.plan(context, args.site), flavor_view.PLAN_COLUMNS, args.format))
    return 0


async def flavor_sync(args: argparse.Namespace, context: Context) -> int:
    """Bring sites up to date; 1 if one of them lacks something after that."""
    from bridge.operator import flavor_sync as syncing

    results = await syncing.sync(context, args.site)
    print(listing([result.row() for result in results], syncing.COLUMNS, args.format))
    return int(any(result.trouble or result.failed for result in results))


async def capacity(args: argparse.Namespace, context: Context) -> int:
    """Show what the sites hold."""
    from bridge.operator import capacity_view

    print(listing(await capacity_view.rows(context, args.flavor), capacity_view.COLUMNS, args.format))
    return 0


async def instance_list(args: argparse.Namespace, context: Context) -> int:
    """Show records of instances."""
    from bridge.operator import instance_view

    print(listing(await instance_view.rows(context, args.site), instance_view.COLUMNS, args.format))
    return 0


async def instance_show(args: argparse.Namespace, context: Context) -> int:
    """Show the record of one instance."""
    from bridge.operator import instance_view

    print(record(await instance_view.fields(context, args.uuid), args.format))
    return 0


async def check(args: argparse.Namespace, context: Context) -> int:
    """Show whether the cascading cloud is set up for Cascade."""
    from bridge.operator import check as checking

    findings = await checking.run(context)
    print(listing([finding.row() for finding in findings], checking.COLUMNS, args.format))
    return int(checking.failed(findings))
