"""The generated pages are what the code would write now."""

import pytest

from deploy.docs import post_servers
from deploy.docs.__main__ import DOCS, PAGES
from deploy.docs.post_servers import Reach
from site_agent.core.boot import site_hints


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run `make docs`"


def test_the_table_of_hints_says_what_the_agent_does() -> None:
    kept = site_hints(dict.fromkeys([*post_servers.HINTS, "vendor_rack"], "x"))
    assert set(kept) == {name for name, fate in post_servers.HINTS.items() if fate.reach is Reach.SITE} | {
        "vendor_rack"
    }
