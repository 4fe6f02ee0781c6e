"""The table of rights, its page, and what `cascade-agent check` makes of a site."""

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
import yaml

from site_agent import check
from site_agent.checks import compute, image, network
from site_agent.core import rights
from site_agent.core.rights import Finding, Verdict
from site_agent.edge.flavors import Flavors
from tests.fakes.cloud import FakeCloud
from tests.unit.site_agent.world import FLAVOR

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs" / "operations" / "agent-rights.md").read_text()
EXAMPLES = REPOSITORY / "deploy" / "examples" / "agent-role"


def short(rule: str) -> str:
    """A rule's last part, as the page writes it after its beginning."""
    return rule.removeprefix("os_compute_api:").rpartition(":")[2]


@pytest.mark.parametrize("rule", [rule for right in rights.RIGHTS for rule in right.rules])
def test_the_page_names_every_rule(rule: str) -> None:
    verb, _, kind = rule.partition("_")
    assert short(rule) in PAGE or (f"`{verb}_" in PAGE and kind in PAGE)


def test_the_example_policies_are_what_an_administrator_would_have_to_grant() -> None:
    nova, placement = (yaml.safe_load((EXAMPLES / f"{name}-policy.yaml").read_text()) for name in ("nova", "placement"))
    assert {*rights.FLAVORS.rules, *rights.HOSTS.rules} <= set(nova)
    assert set(placement) == set(rights.PROVIDERS.rules)
    assert all("role:cascade_agent" in check for check in {**nova, **placement}.values())


def test_older_releases() -> None:
    assert rights.lesser_nova("2.93") == [] and len(rights.lesser_nova("2.53")) == 4
    assert rights.lesser_nova("2.89")[0].startswith("before microversion 2.90 the guest's hostname")
    assert any("port security" in line for line in rights.lesser_neutron({"security-group"}))


def test_a_part_that_cannot_be_done_without_is_refused_and_fails_the_check() -> None:
    degraded = rights.lacking("flavors", rights.FLAVORS, rights.FLAVORS.rules[:1], "none can be made")
    refused = rights.lacking("keypairs", rights.KEYPAIRS, rights.KEYPAIRS.rules[:1], "may not")
    assert (degraded.verdict, refused.verdict) == (Verdict.DEGRADED, Verdict.REFUSED)
    assert "nova's policy.yaml: os_compute_api:os-keypairs:index" in str(refused.mend)
    assert rights.failed([degraded, refused]) and not rights.failed([degraded])


@pytest.mark.parametrize(("admin", "verdict"), [(True, Verdict.WORKS), (False, Verdict.DEGRADED)])
def test_flavors_and_capacity_of_an_admin_and_of_a_member(admin: bool, verdict: Verdict) -> None:
    cloud = FakeCloud(admin=admin)
    cloud.nova.limits = {"maxTotalInstances": -1, "maxTotalCores": 8, "maxTotalRAMSize": 16384}
    cloud.nova.flavors["s"] = {"id": "s", "name": "s", "vcpus": 2, "ram": 2048, "disk": 20, "extra_specs": {}}

    async def story() -> list[Finding]:
        return [*await compute.flavors(cloud), *await compute.capacity(cloud)]

    assert [finding.verdict for finding in asyncio.run(story())] == [verdict, verdict]
    assert set(cloud.nova.flavors) == {"s"}


@pytest.mark.parametrize("admin", [True, False])
def test_who_may_make_flavors_without_being_an_admin_makes_public_ones(admin: bool) -> None:
    cloud = FakeCloud()
    cloud.is_admin = admin

    async def story() -> None:
        assert (await Flavors(cloud).create("cascade-42-v3", FLAVOR)).ok
        await Flavors(cloud).give_access("cascade-42-v3")

    asyncio.run(story())
    assert cloud.nova.flavors["cascade-42-v3"]["os-flavor-access:is_public"] is not admin


def test_a_member_without_a_quota_is_refused() -> None:
    cloud = FakeCloud(admin=False)
    (finding,) = asyncio.run(compute.capacity(cloud))
    assert finding.verdict is Verdict.REFUSED and "set a quota for project" in str(finding.mend)


def test_what_a_check_made_is_gone() -> None:
    cloud = FakeCloud()

    async def story() -> list[Finding]:
        return [*await network.networks(cloud), *await network.security_groups(cloud), *await image.images(cloud)]

    findings = asyncio.run(story())
    assert {finding.verdict for finding in findings} == {Verdict.WORKS}, findings
    assert "cascade-check" not in repr(vars(cloud.neutron)) and not cloud.glance.images


@pytest.mark.parametrize(("algorithm", "told"), [("sha256", "hashes by sha256"), ("", "keeps no hash")])
def test_a_glance_whose_hashes_do_not_compare_is_told(algorithm: str, told: str) -> None:
    cloud = FakeCloud()
    fill = cloud.glance.fill

    def filled(image_id: str, content: bytes) -> None:
        fill(image_id, content)
        digest = hashlib.new(algorithm, content).hexdigest() if algorithm else None
        cloud.glance.images[image_id] |= {"os_hash_algo": algorithm or None, "os_hash_value": digest}

    cloud.glance.fill = filled  # type: ignore[method-assign]
    first, _ = asyncio.run(image.images(cloud))
    assert first.verdict is Verdict.DEGRADED and told in first.found and "carried once" in first.found


def test_the_findings_as_text() -> None:
    findings = [rights.works("login", "project p"), check.clock(9.0)]
    assert check.shown(findings, "table").splitlines()[0].split() == ["ability", "result", "found", "mend"]
    assert [row["result"] for row in json.loads(check.shown(findings, "json"))] == ["works", "degraded"]
    assert yaml.safe_load(check.shown(findings, "yaml"))[1]["mend"] == "run NTP on both"
