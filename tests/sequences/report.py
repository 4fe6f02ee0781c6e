"""The page docs/sequences.md, drawn from results. Pure."""

import textwrap
from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.sequences.compare import IDS, LISTED, MOMENTS, Difference
from tests.sequences.run import Result

HOW = """Drawn by hypothesis (`tests/sequences/calls.py`), run by a tenant of a plain Nova 34 (a site's, used as it is)
and by a tenant of the cascading cloud. Compared after every call: status code, words of a refusal, fields of
GET /servers/{id}; at the end the instance actions with their events, and the images made. The newest run of each
counts."""
SET_OR_NOT = ", ".join(f"`{name}`" for name in (*MOMENTS, *IDS))


def page(results: Sequence[Result], drawn: int, seed: int, date: str) -> str:
    """Return the page for the results of ``drawn`` sequences of one seed."""
    calls = Counter(call for result in results for call in result.sequence)
    codes = Counter(code for result in results for code in result.codes)
    refused = sum(count for code, count in codes.items() if code >= 400)
    ran = f"Printed by `make sequences` on {date}: {len(results)} of {drawn}"
    clean = sum(not result.differences for result in results)
    return "\n".join(
        [
            "# Random sequences of API calls: a plain Nova and the cascade",
            "",
            textwrap.fill(f"{ran} sequences of seed {seed}. {HOW}", 118),
            "",
            f"{sum(calls.values())} calls, {refused} of them refused by the plain Nova. **{clean} of {len(results)}**",
            "sequences show no difference but in these fields:",
            "",
            "| field | why it differs |",
            "|---|---|",
            *(f"| `{name}` | {reason} |" for name, reason in LISTED.items()),
            f"| {SET_OR_NOT} | two clouds: only whether it is set is compared |",
            "",
            "| call | times |",
            "|---|---|",
            *(f"| {name} | {count} |" for name, count in calls.most_common()),
            "",
            *_found(results),
        ]
    )


def _found(results: Sequence[Result]) -> list[str]:
    kinds: defaultdict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for result in results:
        for difference in result.differences:
            kinds[_kind(difference)].append(result.number)
    if not kinds:
        return ["No other difference was found.", ""]
    lines = ["| after | what | plain | cascade | sequences |", "|---|---|---|---|---|"]
    for kind, numbers in sorted(kinds.items(), key=lambda item: -len(item[1])):
        cells = [*kind, f"{len(numbers)}: {', '.join(map(str, numbers[:5]))}"]
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return [*lines, ""]


def _kind(difference: Difference) -> tuple[str, str, str, str]:
    return difference.call, difference.what, str(difference.plain), str(difference.cascade)
