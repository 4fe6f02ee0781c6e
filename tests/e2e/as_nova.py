"""Code of the cascading Nova itself, run beside its nova-api with the same configuration: what no REST call reaches."""

import json
from pathlib import Path
from typing import Any

from deploy.demo.stack import Stack
from tests.nova_script import answer_of

PRELUDE = """
import json, sys, warnings
warnings.simplefilter("ignore")
question = json.load(sys.stdin)
from nova import config, context, objects
config.parse_args(["nova-api", "--config-file", question["conf"]])
from nova import rpc
from nova.compute import api
objects.register_all()
admin = context.get_admin_context()
mapping = objects.InstanceMapping.get_by_instance_uuid(admin, question["instance"])
context.set_target_cell(admin, mapping.cell_mapping)
instance = objects.Instance.get_by_uuid(admin, question["instance"], expected_attrs=["flavor"])
def answer(value):
    sys.__stdout__.write("\\n" + json.dumps(value))
"""


def as_nova(stack: Stack, instance: str, script: str) -> Any:
    """Return what the script gives to ``answer``; it finds ``admin`` (a context), ``instance``, ``api`` and ``rpc``."""
    cloud = json.loads((stack.state / "clouds" / stack.top / "cloud.json").read_text())
    question = {"conf": f"{cloud['etc']['nova']}/nova.conf", "instance": instance}
    return answer_of(str(Path(cloud["venv"]) / "bin" / "python"), PRELUDE + script, question)
