"""The commands of healing, from the parsed command line back to the terminal."""

import argparse

from bridge.operator.context import Context
from bridge.operator.output import listing, record


async def heal(args: argparse.Namespace, parser: argparse.ArgumentParser, context: Context) -> int:
    """Show what healing finds and, unless it is a dry run, does; 1 if something waits for an approval."""
    from bridge.operator import heal as healing

    *word, site = args.words
    if word not in ([], ["approve"]) or (word and args.dry_run):
        parser.error("heal SITE [--dry-run], or heal approve SITE")
    steps = await (healing.approve(context, site) if word else healing.heal(context, site, args.dry_run))
    print(listing([healing.row(step) for step in steps], healing.COLUMNS, args.format))
    return int(any(step.braked for step in steps))


async def quarantine_list(args: argparse.Namespace, context: Context) -> int:
    """Show the servers in quarantine."""
    from bridge.operator import quarantine

    print(listing(await quarantine.rows(context, args.site), quarantine.COLUMNS, args.format))
    return 0


async def quarantine_show(args: argparse.Namespace, context: Context) -> int:
    """Show one of them."""
    from bridge.operator import quarantine

    print(record(await quarantine.fields(context, args.name, args.site), args.format))
    return 0


async def quarantine_decide(args: argparse.Namespace, context: Context) -> int:
    """Have one adopted, returned or purged."""
    from bridge.operator import quarantine

    print(await quarantine.decide(context, args.what, args.name, args.site))
    return 0
