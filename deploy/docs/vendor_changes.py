"""docs/operations/vendor-changes.md: what a site does to a server by itself, from the tables that the programs use."""

from bridge.core import vendor
from site_agent.core.ways import WAYS

PAGE_HEAD = """\
# What a site's own people may do to a tenant's server

Anything. What is then shown above is always something its tenant can stop, start and delete: a site's state that Nova
has no such way out of is shown as another one, and when he asks, the agent takes the site's server there by the legal
steps. It takes each step once; if the site cannot, the tenant's request is refused with that reason.

This page is made of `bridge/core/vendor.py` and `site_agent/core/ways.py` (`make docs`).

| what they do | the site's vm_state | shown above | before a stop or start the agent asks the site to |
|---|---|---|---|
"""
PAGE_FOOT = """
* Shown within the observer's look (1 to 2 s). What is on its way in the site (it has a task_state) is not shown until
  it ends, and a request of the tenant's meanwhile waits for it.
* An ERROR that gives no reason must last 1 s to be believed. Above it has a fault that says why, or that the site gives
  no reason; a tenant may stop, start after that, or delete. When the site takes the ERROR back, so do we.
* Nothing is shown over what the tenant asked for himself: a server that waits for his confirm or revert, or that he has
  rescued, shelved or soft-deleted, stays so above, and his next verb finds what the site did.
* A resize or cold migration of theirs is confirmed by the tenant's stop or start, as Nova does when such a server is
  deleted. Other verbs than stop, start, pause, suspend and delete are refused in these states with the site's words.
* A delete needs no step: Nova deletes a server in any state, and one in a soft delete is deleted for good.

| what they do | shown above |
|---|---|
"""


def page() -> str:
    """Return the page."""
    rows = [f"| {row.actions} | `{row.vm_state}` | {_shown(row)} | {_way(row)} |" for row in vendor.ROWS]
    unshown = [f"| {what} | {shown} |" for what, shown in vendor.UNSHOWN.items()]
    return PAGE_HEAD + "\n".join(rows) + "\n" + PAGE_FOOT + "\n".join(unshown) + "\n"


def _shown(row: vendor.Row) -> str:
    return f"`{row.shown}`" if row.shown != vendor.BY_POWER else "`active` or `stopped`, as it is powered"


def _way(row: vendor.Row) -> str:
    action = WAYS.get(row.vm_state)
    return f"`{action}`" if action and row.shown != row.vm_state else ""
