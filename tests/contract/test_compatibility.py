"""The page of server actions names every action and request that the installed Novas have, with their microversions."""

from functools import cache
from typing import Any

import pytest

from deploy.docs.compatibility import ACTIONS, RESOURCES, SITES
from proto.operations import BY_METHOD, Verb
from tests.contract.nova_python import ask_nova

ROUTES = """
from nova.api.openstack import api_version_request
from nova.api.openstack.compute import routes
main, others = routes.server_controller.args
actions = {}
for controller in (main, *others):
    for name, method in controller.wsgi_actions.items():
        function = getattr(controller, method, None)
        actions[name] = [getattr(function, "min_version", None), getattr(function, "max_version", None)]
requests = [
    [verb, path, getattr(getattr(controller.args[0], name, None), "min_version", None)]
    for path, verbs in routes.ROUTE_LIST
    if path.startswith("/servers/{")
    for verb, (controller, name) in verbs.items()
]
answer([actions, requests, api_version_request.max_api_version().get_string()])
"""
RELEASES = {"installed": "34", "zed": "Zed (26)"}
# GET requests that ask the host; of all others that change a server every one is listed.
ASKING = {"GET /servers/{server_id}/diagnostics"}


@cache
def routes(which: str) -> tuple[dict[str, list[str | None]], dict[str, str | None], str]:
    """Return actions with their microversions, requests below /servers/, and the newest microversion."""
    actions, requests, newest = ask_nova(which, ROUTES)
    return actions, {f"{verb} {path}": since for verb, path, since in requests}, newest


@pytest.mark.parametrize("which", RELEASES)
def test_every_action_has_a_line(which: str) -> None:
    actions, _, newest = routes(which)
    assert set(actions) - set(ACTIONS) == set()
    assert newest == f"2.{SITES[RELEASES[which]]}"


@pytest.mark.parametrize("which", RELEASES)
def test_every_request_that_changes_a_server_has_a_line(which: str) -> None:
    requests = {one for one in routes(which)[1] if not one.startswith("GET") and "/action" not in one.split("{id}")[-1]}
    assert requests | ASKING <= set(RESOURCES) | {"POST /servers/{id}/action"}


def test_the_installed_nova_knows_every_line_and_its_microversions() -> None:
    actions, requests, _ = routes("installed")
    assert set(ACTIONS) == set(actions) and set(RESOURCES) <= set(requests)
    assert {name: one.since for name, one in RESOURCES.items()} == {name: requests[name] or "2.1" for name in RESOURCES}
    versions: dict[str, Any] = {name: [one.since, one.until or None] for name, one in ACTIONS.items()}
    assert versions == {name: [first or "2.1", last] for name, (first, last) in actions.items()}


def test_every_operation_a_tenant_can_ask_for_has_a_line() -> None:
    listed = {one.rpc for one in (*ACTIONS.values(), *RESOURCES.values())}
    elsewhere = {Verb.CREATE, Verb.SOFT_DELETE, Verb.DIAGNOSTICS}  # POST /servers, DELETE with reclaim, before 2.48
    assert {method for method, row in BY_METHOD.items() if row.verb not in elsewhere} <= listed
