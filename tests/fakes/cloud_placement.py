"""Placement of a cascaded cloud in memory: one compute node."""

from collections.abc import Mapping
from typing import Any

from site_agent.core.answers import Answer

INVENTORIES = {
    "VCPU": {"total": 16, "reserved": 0, "allocation_ratio": 4.0},
    "MEMORY_MB": {"total": 32768, "reserved": 512, "allocation_ratio": 1.0},
    "DISK_GB": {"total": 200, "reserved": 0, "allocation_ratio": 1.0},
}


class SitePlacement:
    """Answers what the heartbeat reads."""

    def __init__(self, *, admin: bool) -> None:
        self.admin = admin
        self.allocations: dict[str, dict[str, int]] = {"vendor": {"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 2}}

    def answer(self, method: str, path: str, params: Mapping[str, str], body: Any) -> Answer:
        """Answer one request."""
        if not self.admin:
            return Answer(403, {"errors": [{"status": 403, "detail": "Policy does not allow it"}]})
        name = path.split("/")[-1]
        if name == "resource_providers":
            providers = [{"uuid": "node-1", "name": "host-1.example", "root_provider_uuid": "node-1"}]
            return Answer(200, {"resource_providers": providers})
        answers = {
            "inventories": {"inventories": INVENTORIES},
            "allocations": {"allocations": {uuid: {"resources": used} for uuid, used in self.allocations.items()}},
            "traits": {"traits": ["HW_CPU_X86_AVX2", "COMPUTE_NODE"]},
        }
        return Answer(200, answers[name])
