"""The generated pages are what the code would write now."""

from deploy.docs.__main__ import PAGE
from deploy.docs.reference import reference


def test_reference_page_is_current() -> None:
    assert PAGE.read_text() == reference(), "run `make docs`"
