"""The Novas whose objects and signatures ours are compared with.

The newest Nova is the one of the development clouds; Nova 26 (Zed), whose versions we speak, is there once
``python3 -m deploy.devcloud install --release zed`` has run, or CASCADE_ZED_PYTHON names a Python that has it.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.nova_script import answer_of

REQUIRED = "CASCADE_REQUIRE_SERVICES"  # set in CI: a missing Nova fails instead of skipping
PRELUDE = """
import json, sys, warnings
warnings.simplefilter("ignore")
from nova import context, objects
from nova.objects import base
objects.register_all()
question = json.load(sys.stdin)
def answer(value):
    sys.__stdout__.write("\\n" + json.dumps(value))
"""

_ROOT = Path(__file__).resolve().parents[2]
PYTHONS = {
    "installed": os.environ.get("CASCADE_OPENSTACK_PYTHON") or str(_ROOT / ".state/venv-openstack/bin/python"),
    "zed": os.environ.get("CASCADE_ZED_PYTHON") or str(_ROOT / ".state/venv-openstack-zed/bin/python"),
}


def ask_nova(which: str, script: str, question: Any = None) -> Any:
    """Return what the script gives to ``answer``; it finds ``question``. Skips if this Nova is not there."""
    python = PYTHONS[which]
    if not os.access(python, os.X_OK):
        reason = f"no Python with the {which} Nova: see {__name__}"
        if which == "installed" and os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    return answer_of(python, PRELUDE + script, question)
