"""The mutants: which guard, where, what is replaced by what, and the test that notices it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` is in ``file`` exactly once; ``caught_by`` is a test id as pytest names it."""

    name: str  # guard: what the mutant does without
    file: str
    old: str
    new: str
    caught_by: str


PLANNER = "tests/unit/bridge/test_planner.py"
REDUCER = "tests/unit/bridge/test_reducer.py"
HANDLERS = "tests/unit/site_agent/test_handlers.py"
EXECUTOR = "tests/unit/site_agent/test_executor.py"


def story(name: str) -> str:
    """Return the id of a story's test."""
    return f"tests/scenario/test_stories.py::test_story[{name}]"


MUTANTS = (
    Mutant("dedup: an RPC is stored as often as it is delivered", "bridge/intake.py",
           'message_id=f"{rpc.rpc_id}:{rpc.uuid}"', "message_id=None", story("bridge_crash_boot")),
    Mutant("dedup: an RPC that was recorded is planned again", "bridge/core/planner.py",
           "if record is None or rpc.rpc_id not in record.rpc_ids:", "if True:", PLANNER),
    Mutant("dedup: a planned RPC is not remembered", "bridge/core/planner.py",
           "[*known.rpc_ids, rpc.rpc_id][-REMEMBERED_RPC_IDS:]", "known.rpc_ids", PLANNER),
    Mutant("dedup: an RPC stored twice is queued twice", "bridge/commands.py",
           "if flight.rpc.rpc_id != rpc.rpc_id:", "if True:", story("redelivered_rpc")),
    Mutant("none pending: what may be lost is stored beside what waits", "bridge/publisher.py",
           "subjects.commands_of_instance(self._site, record.uuid) if again else None", "None", story("bridge_crash_boot")),
    Mutant("none pending: a command republished is taken for its duplicate", "bridge/publisher.py",
           'message_id=None if again else f"', 'message_id=f"', story("streams_lost")),
    Mutant("none pending: a command that waits is thought lost", "bridge/publisher.py",
           "        if await self.waiting(record.uuid):\n            return None\n", "", story("expired")),
    Mutant("tag look-up: a repeated create does not look for its server", "site_agent/handlers/create.py",
           "    if await _adopted(site, command):", "    if False:", HANDLERS),
    Mutant("tag look-up: no look after a lost answer", "site_agent/handlers/create.py",
           "    server_id = await _existing(site, command)\n    if not server_id:\n        raise problem",
           "    raise problem", HANDLERS),
    Mutant("tag look-up: a look is trusted while a cell is down", "site_agent/handlers/create.py",
           "        await site.servers.all_cells_answer()", "        pass", HANDLERS),
    Mutant("tag look-up: a delete trusts a look while a cell is down", "site_agent/handlers/delete.py",
           "        await site.servers.all_cells_answer()\n", "", HANDLERS),
    Mutant("tag look-up: a server that is being deleted is adopted", "site_agent/handlers/create.py",
           'if not (server.soft_deleted or server.state.task_state == "deleting")', "", HANDLERS),
    Mutant("tag: a server is made without its generation", "site_agent/core/boot.py",
           "[identity.tag(command.uuid), identity.generation_tag(command.generation)]", "[identity.tag(command.uuid)]",
           "tests/unit/site_agent/test_core.py"),
    Mutant("port guard: a port in use leads to no server", "site_agent/handlers/create.py",
           "        if error.code is not FaultCode.CONFLICT:\n            raise\n", "        raise\n", HANDLERS),
    Mutant("port guard: somebody else's port is taken", "site_agent/resources/port.py",
           'if found[0].fields.get("description") != tag:', "if False:", "tests/unit/site_agent/test_resources.py"),
    Mutant("expiry: an expired command begins", "site_agent/site.py",
           "time.time() > command.not_after", "False", EXECUTOR),
    Mutant("expiry: clocks count for nothing", "bridge/core/planner.py",
           "now > self.not_after + abs(self.clock_offset) + self.margin", "now > self.not_after", PLANNER),
    Mutant("expiry: a boot that nobody carried out is waited for without end", "bridge/publisher.py",
           "if lateness is not None and lateness.over(time.time()):", "if False:", story("expired")),
    Mutant("expiry: an awaited command outlives its caller", "bridge/core/planner.py",
           "began = rpc.received_at if row.mode is Mode.AWAITED else now", "began = now", PLANNER),
    Mutant("generation: an older command is carried out after a newer", "site_agent/executor.py",
           "> command.generation:", "> command.generation + 2**60:", EXECUTOR),
    Mutant("generation: an older look settles a newer command", "bridge/core/reducer.py",
           "known = seen.generation >= pending.generation or plain", "known = True", REDUCER),
    Mutant("generation: a look that knows none settles what still waits", "bridge/core/reducer.py",
           "seen.generation == 0 and not command_waiting", "seen.generation == 0", REDUCER),
    Mutant("generation: counting begins at 1 again", "bridge/core/planner.py",
           "max(record.generation + 1, int(now * 1000))", "record.generation + 1", story("same_site_twice")),
    Mutant("generation: a later create's server is deleted", "site_agent/handlers/delete.py",
           "server.generation > command.generation", "False", "tests/unit/site_agent/test_lives.py"),
    Mutant("generation: servers of two creates are thought surplus", "site_agent/core/servers.py",
           "(server.uuid, server.generation), []", "(server.uuid, 0), []", "tests/unit/site_agent/test_core.py"),
    Mutant("generation: an unshelve takes a former life's server", "site_agent/handlers/create.py",
           "any(0 < server.generation < command.generation for server in staying)", "False",
           "tests/unit/site_agent/test_lives.py"),
    Mutant("epoch: a command of a former life of the site runs", "site_agent/executor.py",
           "if command.epoch < bundle.epoch:", "if False:", EXECUTOR),
    Mutant("epoch: a command of a later life of the site runs", "site_agent/executor.py",
           "if command.epoch > bundle.epoch:", "if False:", EXECUTOR),
    Mutant("tombstone: a look brings the dead back", "bridge/core/reducer.py",
           "    if record.deleted_at is not None:\n", "    if False:\n", REDUCER),
    Mutant("tombstone: a create outlives its delete", "bridge/core/planner.py",
           "return record.deleted_at is not None or over", "return over", "tests/unit/bridge"),
    Mutant("tombstone: a tombstone is dropped while its server is there", "bridge/core/reconciler.py",
           "record.deleted_at < census_began and not present", "record.deleted_at < census_began",
           "tests/unit/bridge/test_reconciler.py"),
    Mutant("tombstone: a census from before the delete counts", "bridge/core/reconciler.py",
           "record.deleted_at < census_began and not present", "not present", "tests/unit/bridge/test_reconciler.py"),
    Mutant("ownership: a lease is believed in to its last second", "bridge/ownership.py",
           "return fresh and not self.ended", "return not self.ended", story("frozen_bridge")),
    Mutant("ownership: records are written without the guard", "bridge/instances.py",
           "            expected=known[1] if known else 0,\n            guard=self._ownership.guard,\n", "", story("frozen_bridge")),
    Mutant("ownership: a frozen bridge saves what it meant to save", "bridge/observations.py",
           "        self._ownership.check()\n        try:\n            with tracing.span(\"save\"",
           "        try:\n            with tracing.span(\"save\"", story("frozen_bridge")),
    Mutant("ownership: a frozen bridge publishes what it meant to publish", "bridge/publisher.py",
           "        assert pending is not None\n        self._ownership.check()\n",
           "        assert pending is not None\n", story("frozen_bridge")),
    Mutant("ownership: the consumers of the former owner stay", "bridge/site.py",
           "            await road.delete_durables(durable.stream, streams.bridge_durable_prefix(site))\n", "",
           story("two_bridges")),
    Mutant("expected_task_state: an outcome overwrites what its tenant began", "bridge/observations.py",
           "reduction.expected_task_state or None", "None", story("failed_and_deleted")),
    Mutant("expected_task_state: a site's own change overwrites its tenant's", "bridge/observations.py",
           "reduction.changes, reduction.expected_task_state, reduction.expected_vm_state", "reduction.changes",
           story("site_acts")),
    Mutant("expected_task_state: a boot claims whatever the row says", "bridge/boot.py",
           "changes, UNCLAIMED, [BUILDING])", "changes)", story("reschedule_crash")),
    Mutant("expected_task_state: a failed boot ends another host's", "bridge/boot.py",
           ' or instance["host"] not in (None, rpc.host):', ":", story("reschedule_crash")),
    Mutant("once: no look at the site's own actions", "site_agent/handlers/once.py",
           "return unsure and await", "return False and await", HANDLERS),
    Mutant("once: a vendor's action is taken for ours", "site_agent/handlers/once.py",
           " and a.user_id == site.cloud.user_id", "", HANDLERS),
    Mutant("once: an earlier action is taken for this command's", "site_agent/handlers/once.py",
           " and a.started_at >= earliest", "", HANDLERS),
    Mutant("once: memory counts for nothing", "site_agent/handlers/once.py",
           "    if site.memory.was_carried_out(command):\n        return True\n", "", HANDLERS),
    Mutant("once: a second snapshot is taken", "site_agent/handlers/snapshot.py",
           "if await taken(site, command.image_id) or site.memory.was_carried_out(command):", "if False:",
           "tests/unit/site_agent/test_snapshot.py"),
    Mutant("supersede: a delete waits for what it makes pointless", "bridge/commands.py",
           "    if under_way[1].rpc.method != TERMINATE:\n        under_way[1].superseded.set()\n", "", story("supersede")),
    Mutant("supersede: a create does not ask whether it is still wanted", "site_agent/handlers/create.py",
           "if ours and site.shared and not await _wanted(site, command):", "if False:", HANDLERS),
    Mutant("foreign: a command for another instance is carried out", "site_agent/executor.py",
           "if (command.site, command.uuid) != (address.site, address.uuid) or address.site != bundle.site:",
           "if False:", EXECUTOR),
    Mutant("foreign: a site speaks of another's instance", "bridge/observations.py",
           "if (seen.site, seen.uuid) != (address.site, address.uuid):", "if False:", "tests/unit/bridge"),
    Mutant("acknowledge after durable: a fault is not told", "site_agent/executor.py",
           "            await self._tell(command, problem, delivery.num_delivered)\n", "            pass\n", EXECUTOR),
    Mutant("in use: what a server uses is collected", "bridge/core/collector.py",
           "for holding in holdings if not holding.used]", "for holding in holdings]",
           "tests/unit/bridge/test_collector.py"),
)  # fmt: skip
