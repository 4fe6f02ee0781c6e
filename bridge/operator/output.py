"""Tables, JSON and YAML: the only place of the ``cascade`` command that prints results."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

FORMATS = ("table", "json", "yaml")

Row = Mapping[str, Any]


def listing(rows: Sequence[Row], columns: Sequence[str], form: str) -> str:
    """Return rows as text; ``columns`` are the keys to show, in order. JSON and YAML keep the types."""
    chosen = [{column: row.get(column) for column in columns} for row in rows]
    if form != "table":
        return _machine(chosen, form)
    cells = [[column.replace("_", " ") for column in columns]]
    cells += [[_cell(row[column]) for column in columns] for row in chosen]
    return _aligned(cells)


def record(fields: Row, form: str) -> str:
    """Return one thing as text, a field a line."""
    if form != "table":
        return _machine(dict(fields), form)
    return _aligned([[name.replace("_", " "), _cell(value)] for name, value in fields.items()])


def age(then: float | None) -> int | None:
    """Return whole seconds since an epoch time, never negative; None if it is not known."""
    return max(0, round(time.time() - then)) if then else None


def _machine(value: Any, form: str) -> str:
    if form == "json":
        return json.dumps(value, indent=2)
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True)).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_cell(inner)}" for key, inner in value.items()) or "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_cell(inner) for inner in value) or "-"
    return _printable(str(value))


def _printable(text: str) -> str:
    """Return a text that others may have written, without what a terminal would obey or a table break at."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _aligned(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)
