"""Runs a script in a Python that has Nova: our own environment never imports it."""

import json
import subprocess
from typing import Any

TIMEOUT = 120  # s


def answer_of(python: str, script: str, question: Any) -> Any:
    """Return the JSON that the script prints as its last line; it reads ``question`` from its standard input."""
    done = subprocess.run(
        [python, "-c", script],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
