"""The part of docs/compatibility.md that follows from the table of operations: what becomes of every server action.

Contract tests hold the names and microversions below against the routes of the installed Novas.
"""

from dataclasses import dataclass
from pathlib import Path

from proto.operations import BY_METHOD, CALL_REFUSALS, EVACUATION, Mode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
BEGIN = "<!-- begin: written by `make docs` from deploy/docs/compatibility.py -->"
END = "<!-- end -->"
LEAST = 52  # the site's Nova speaks at least microversion 2.52 (site_agent/edge/cloud.py)
SITES = {"34": 104, "Zed (26)": 93}  # releases tested: the newest microversion of each is 2.N
HEAD = """## Every server action

All microversions of the cascading Nova (2.1 to 2.104 with Nova 34, to 2.93 with Zed): its API is stock, and what it
casts is the same whatever version was asked for. *Since* and *until* are Nova's own. *RPC* is the row of
`proto/operations.py`, or what Nova sends without one. *Site* says with which releases of a site's Nova it works.

*Works* means: carried out by the site, and shown above as Nova shows it. *Refused* and *not yet* leave the server as it
was and nothing stuck; where Nova answers 202 first, the instance then has the fault `unsupported`, and its action says
so. A site needs microversion 2.52 at least.

"""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing the API lets do to a server: the RPC it becomes, the microversions that have it, what else to know."""

    rpc: str | None = None
    note: str = ""
    since: str = "2.1"
    until: str = ""
    needs: int = LEAST  # 2.N of the site's Nova
    refused: bool = False  # in spite of a row


ABOVE = "works: kept above, nothing of it concerns a site"
NOTICED = "works: noticed (`bridge/noticed.py`), in the site within seconds"
GONE = "refused: 410, Nova has removed it"
CONSOLE = "400"
MIGRATES_NOT = "admin; to 2.33 400; later 202, the migration ends in `error`, the server stays"
LATER = "202, then the fault `unsupported`"
TO_2_43, TO_2_5 = "2.43", "2.5"

ACTIONS: dict[str, Action] = {
    "addFixedIp": Action("add_fixed_ip_to_instance", until=TO_2_43),
    "addFloatingIp": Action(None, "shown above, carries nothing: see Networks", until=TO_2_43),
    "addSecurityGroup": Action(None, "works: the ports' groups are carried down within seconds"),
    "changePassword": Action("set_admin_password"),
    "confirmResize": Action("confirm_resize"),
    "createBackup": Action("backup_instance", "the image goes up; rotation above"),
    "createImage": Action("snapshot_instance", "the image goes up"),
    "evacuate": Action(EVACUATION, "admin; from a site that was given up to another one: docs/operations/site-life.md"),
    "forceDelete": Action("terminate_instance"),
    "injectNetworkInfo": Action("inject_network_info", f"admin; {LATER}", refused=True),
    "lock": Action(None, ABOVE),
    "migrate": Action("prep_resize", "admin; between the hosts of the site, by its own scheduler"),
    "os-getConsoleOutput": Action("get_console_output"),
    "os-getRDPConsole": Action(None, GONE, until=TO_2_5),
    "os-getSPICEConsole": Action("get_spice_console", CONSOLE, until=TO_2_5),
    "os-getSerialConsole": Action("get_serial_console", CONSOLE, until=TO_2_5),
    "os-getVNCConsole": Action("get_vnc_console", "the URL of the site's own proxy", until=TO_2_5),
    "os-migrateLive": Action("check_can_live_migrate_destination", MIGRATES_NOT),
    "os-resetState": Action(None, "works: admin; above only, the site's server is not touched"),
    "os-start": Action("start_instance"),
    "os-stop": Action("stop_instance"),
    "pause": Action("pause_instance"),
    "reboot": Action("reboot_instance"),
    "rebuild": Action("rebuild_instance"),
    "removeFixedIp": Action("remove_fixed_ip_from_instance", until=TO_2_43),
    "removeFloatingIp": Action(None, "as addFloatingIp", until=TO_2_43),
    "removeSecurityGroup": Action(None, "works: as addSecurityGroup"),
    "rescue": Action("rescue_instance"),
    "resetNetwork": Action(None, GONE),
    "resize": Action("prep_resize", "inside the site"),
    "restore": Action("restore_instance"),
    "resume": Action("resume_instance"),
    "revertResize": Action("revert_resize"),
    "shelve": Action("shelve_instance", "the image goes up"),
    "shelveOffload": Action("shelve_offload_instance"),
    "suspend": Action("suspend_instance"),
    "trigger_crash_dump": Action("trigger_crash_dump", LATER, since="2.17", refused=True),
    "unlock": Action(None, ABOVE),
    "unpause": Action("unpause_instance"),
    "unrescue": Action("unrescue_instance"),
    "unshelve": Action("unshelve_instance"),
}
"""Bodies of POST /servers/{id}/action."""

RESOURCES: dict[str, Action] = {
    "PUT /servers/{id}": Action(None, f"{NOTICED}: name, description, hostname; the rest is kept above"),
    "DELETE /servers/{id}": Action("terminate_instance"),
    "GET /servers/{server_id}/diagnostics": Action("get_instance_diagnostics"),
    "POST /servers/{server_id}/consoles": Action(None, GONE),
    "DELETE /servers/{server_id}/consoles/{id}": Action(None, GONE),
    "POST /servers/{server_id}/metadata": Action(None, NOTICED),
    "PUT /servers/{server_id}/metadata": Action(None, NOTICED),
    "PUT /servers/{server_id}/metadata/{id}": Action(None, NOTICED),
    "DELETE /servers/{server_id}/metadata/{id}": Action(None, "works: noticed with the next change, or within 5 min"),
    "DELETE /servers/{server_id}/migrations/{id}": Action(None, "no live migration is ever there: 404", since="2.24"),
    "POST /servers/{server_id}/migrations/{id}/action": Action(None, "no live migration is ever there: 404"),
    "POST /servers/{server_id}/os-interface": Action("attach_interface"),
    "DELETE /servers/{server_id}/os-interface/{id}": Action("detach_interface"),
    "DELETE /servers/{server_id}/os-server-password": Action(None, ABOVE),
    "POST /servers/{server_id}/os-volume_attachments": Action("reserve_block_device_name", "400"),
    "PUT /servers/{server_id}/os-volume_attachments/{id}": Action(None, "nothing is ever attached: 404"),
    "DELETE /servers/{server_id}/os-volume_attachments/{id}": Action(None, "nothing is ever attached: 404"),
    "POST /servers/{server_id}/remote-consoles": Action(
        "get_vnc_console",
        "the URL of the site's own proxy; `spice`, `serial`, `mks`: 400 `ConsoleTypeUnavailable`",
        since="2.6",
    ),
    "POST /servers/{server_id}/shares": Action("allow_share", since="2.97"),
    "DELETE /servers/{server_id}/shares/{id}": Action("deny_share", since="2.97"),
    "PUT /servers/{server_id}/tags": Action(None, ABOVE, since="2.26"),
    "DELETE /servers/{server_id}/tags": Action(None, ABOVE, since="2.26"),
    "PUT /servers/{server_id}/tags/{id}": Action(None, ABOVE, since="2.26"),
    "DELETE /servers/{server_id}/tags/{id}": Action(None, ABOVE, since="2.26"),
}
"""Other requests that change a server or ask its host."""


def page() -> str:
    """Return the page with its generated part as it follows from the code; the rest is written by hand."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + "\n" + _tables() + END + rest.partition(END)[2]


def _tables() -> str:
    bodies = "".join(f"| `{name}` {_cells(action)}" for name, action in ACTIONS.items())
    others = "".join(f"| {name} {_cells(action)}" for name, action in RESOURCES.items())
    return HEAD + _table("POST /servers/{id}/action", bodies) + _table("other requests", others)


def _table(title: str, rows: str) -> str:
    columns = " | ".join(f"site {release}" for release in SITES)
    return f"| {title} | RPC | outcome | since | until | {columns} | more |\n{'|---' * (6 + len(SITES))}|\n{rows}\n"


def _cells(action: Action) -> str:
    outcome, more = _outcome(action)
    works = outcome.startswith("works")
    sites = " | ".join(_at(newest, action) if works and action.rpc else "-" for newest in SITES.values())
    rpc = f"`{action.rpc}`" if action.rpc else ""
    return f"| {rpc} | {outcome} | {action.since} | {action.until} | {sites} | {more} |\n"


def _at(newest: int, action: Action) -> str:
    return "yes" if newest >= action.needs else f"no: needs 2.{action.needs}"


def _outcome(action: Action) -> tuple[str, str]:
    """Return the word for what becomes of it, and what is left to say."""
    if action.rpc is None:
        word, _, rest = action.note.partition(": ")
        return (word, rest) if word in ("works", "refused") else ("above only", action.note)
    if action.refused:
        return "refused", action.note
    if action.rpc in CALL_REFUSALS:
        return f"refused: `{CALL_REFUSALS[action.rpc]}`", action.note
    row = BY_METHOD.get(action.rpc)
    if row is None:
        return "not yet", action.note
    return "works" if row.mode is not Mode.QUERY else "works: asked of the site at once", action.note
