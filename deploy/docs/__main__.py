"""`python -m deploy.docs [--check]`: writes the generated pages of docs/, or says which is not current."""

import sys
from pathlib import Path

from deploy.docs import compatibility, post_servers, vendor_changes
from deploy.docs.reference import reference

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {
    "reference.md": reference,
    "post-servers.md": post_servers.page,
    "operations/vendor-changes.md": vendor_changes.page,
    "compatibility.md": compatibility.page,
}


def main() -> int:
    """Write the pages, or with --check return 1 if one differs from what would be written."""
    stale = [name for name, text in PAGES.items() if not _is_current(DOCS / name, text())]
    if "--check" not in sys.argv[1:]:
        for name in stale:
            (DOCS / name).write_text(PAGES[name]())
        return 0
    for name in stale:
        print(f"docs/{name} is not current: run `make docs`", file=sys.stderr)
    return int(bool(stale))


def _is_current(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
