"""`python -m deploy.docs [--check]`: writes docs/reference.md from the code, or says that it is not current."""

import sys
from pathlib import Path

from deploy.docs.reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference.md"


def main() -> int:
    """Write the page, or with --check return 1 if it differs from what would be written."""
    text = reference()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
        return 0
    if PAGE.read_text() == text:
        return 0
    print("docs/reference.md is not current: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
