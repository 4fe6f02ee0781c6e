"""How a server leaves a state that its vendor brought it to and that no verb of its tenant starts from. Pure."""

from collections.abc import Mapping

# vm_state -> the site's own action that leaves it (Nova 34, compute/api.py). A cold migration or resize of the
# vendor's is confirmed: Nova does the same when such a server is deleted, or confirms it by itself some time later.
WAYS: Mapping[str, str] = {
    "resized": "confirmResize",
    "rescued": "unrescue",
    "shelved": "unshelve",
    "shelved_offloaded": "unshelve",
    "soft-delete": "restore",
    "paused": "unpause",
    "suspended": "resume",
}
SILENT = "confirmResize"  # the only one that shows no task_state on its way


def first_step(vm_state: str, action: str) -> str | None:
    """Return what must come before ``action`` in the site, if anything."""
    step = WAYS.get(vm_state)
    return None if step == action else step
