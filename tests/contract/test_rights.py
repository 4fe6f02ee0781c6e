"""The policy rules that the agent's table names exist in the released services, in the oldest and the newest."""

import pytest

from site_agent.core.rights import RIGHTS
from tests.contract.nova_python import PYTHONS, ask_nova

SCRIPT = """
import glance.policies, neutron.conf.policies, nova.policies, placement.policies
modules = {"nova": nova.policies, "placement": placement.policies, "glance": glance.policies,
           "neutron": neutron.conf.policies}
answer({name: [rule.name for rule in module.list_rules()] for name, module in modules.items()})
"""


@pytest.mark.parametrize("release", PYTHONS)
def test_every_rule_exists(release: str) -> None:
    there = ask_nova(release, SCRIPT)
    assert [rule for right in RIGHTS for rule in right.rules if rule not in there[right.service]] == []
