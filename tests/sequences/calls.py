"""The calls of which sequences are made, and a model of what they do that makes most of them fit the state. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

LONGEST = 8  # calls
MISFITS = 4  # one call in so many is drawn without a look at the state

IMAGE, SMALL, LARGE = "IMAGE", "SMALL FLAVOR", "LARGE FLAVOR"  # stand for what each cloud has of its own
NAME = "NAME"  # of the sequence


@dataclass(frozen=True, slots=True)
class Call:
    """One request about a server; ``path`` continues /servers/{id}.

    ``leads``: for every status that it fits, the status that it leads to in the model. The model only makes sequences
    that go somewhere: what is right is what the plain Nova does.
    """

    name: str
    method: str
    path: str
    body: Any
    leads: Mapping[str, str] = field(default_factory=dict)


Sequence = tuple[str, ...]  # names of calls

ALIVE = ("ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED", "RESCUE", "VERIFY_RESIZE", "SHELVED_OFFLOADED")
IMAGED = ("ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED")


def _action(name: str, action: str, body: Any, leads: Mapping[str, str]) -> Call:
    return Call(name, "POST", "/action", {action: body}, leads)


def _same(*statuses: str) -> dict[str, str]:
    return {status: status for status in statuses}


CALLS: tuple[Call, ...] = (
    _action("stop", "os-stop", None, {"ACTIVE": "SHUTOFF"}),
    _action("start", "os-start", None, {"SHUTOFF": "ACTIVE"}),
    _action("reboot soft", "reboot", {"type": "SOFT"}, _same("ACTIVE")),
    _action("reboot hard", "reboot", {"type": "HARD"}, {**dict.fromkeys(IMAGED, "ACTIVE")}),
    _action("pause", "pause", None, {"ACTIVE": "PAUSED"}),
    _action("unpause", "unpause", None, {"PAUSED": "ACTIVE"}),
    _action("suspend", "suspend", None, {"ACTIVE": "SUSPENDED"}),
    _action("resume", "resume", None, {"SUSPENDED": "ACTIVE"}),
    _action("rescue", "rescue", {}, {"ACTIVE": "RESCUE", "SHUTOFF": "RESCUE"}),
    _action("unrescue", "unrescue", None, {"RESCUE": "ACTIVE"}),
    _action("resize up", "resize", {"flavorRef": LARGE}, dict.fromkeys(("ACTIVE", "SHUTOFF"), "VERIFY_RESIZE")),
    _action("resize down", "resize", {"flavorRef": SMALL}, dict.fromkeys(("ACTIVE", "SHUTOFF"), "VERIFY_RESIZE")),
    _action("confirm resize", "confirmResize", None, {"VERIFY_RESIZE": "ACTIVE"}),
    _action("revert resize", "revertResize", None, {"VERIFY_RESIZE": "ACTIVE"}),
    _action("rebuild", "rebuild", {"imageRef": IMAGE, "metadata": {"built": "twice"}}, _same("ACTIVE", "SHUTOFF")),
    _action("lock", "lock", {"locked_reason": "mine"}, _same(*ALIVE)),
    _action("unlock", "unlock", None, _same(*ALIVE)),
    _action("create image", "createImage", {"name": NAME}, _same(*IMAGED)),
    _action("create backup", "createBackup", {"name": NAME, "backup_type": "daily", "rotation": 1}, _same(*IMAGED)),
    _action("shelve", "shelve", None, dict.fromkeys(IMAGED, "SHELVED_OFFLOADED")),
    _action("unshelve", "unshelve", None, {"SHELVED_OFFLOADED": "ACTIVE"}),
    Call("metadata", "PUT", "/metadata", {"metadata": {"purpose": "sequence"}}, _same(*ALIVE)),
    Call("rename", "PUT", "", {"server": {"name": "renamed", "description": "told"}}, _same(*ALIVE)),
    Call("tags", "PUT", "/tags", {"tags": ["one", "two"]}, _same(*ALIVE)),
    Call("show", "GET", "", None, _same(*ALIVE)),
    Call("delete", "DELETE", "", None, {**dict.fromkeys(ALIVE, "DELETED")}),
)
BY_NAME = {call.name: call for call in CALLS}


@st.composite
def _sequences(draw: st.DrawFn, calls: tuple[Call, ...]) -> Sequence:
    """Draw evenly: hypothesis's own choices lean to few and equal calls, which is for shrinking."""
    chance = draw(st.randoms(use_true_random=True))
    status = "ACTIVE"
    drawn: list[str] = []
    for _ in range(chance.randint(3, LONGEST)):
        fitting = [call for call in calls if status in call.leads]
        misfit = not fitting or chance.randint(1, MISFITS) == 1
        call = chance.choice(calls if misfit else fitting)
        drawn.append(call.name)
        status = call.leads.get(status, status)
    return tuple(drawn)


def sequences(count: int, number: int, without: frozenset[str] = frozenset()) -> list[Sequence]:
    """Return ``count`` different sequences that hypothesis draws from the seed ``number``, always the same ones."""
    found: dict[Sequence, None] = {}
    calls = tuple(call for call in CALLS if call.name not in without)

    @seed(number)
    @settings(
        max_examples=2 * count + 20,
        phases=[Phase.generate],
        database=None,
        derandomize=False,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(_sequences(calls))
    def collect(drawn: Sequence) -> None:
        found[drawn] = None

    collect()
    return list(found)[:count]
