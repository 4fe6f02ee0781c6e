"""`python -m tests.bench.producer URL HOST COUNT`: casts of the size nova-api sends, from two threads."""

import sys
import threading
import uuid
from typing import Any

import oslo_messaging
from oslo_config import cfg

from bridge.edge import nova_rpc

THREADS = 2
CATALOG = [
    {"name": f"service-{n}", "type": "x", "endpoints": [{"publicURL": "http://127.0.0.1/" + "u" * 80}]}
    for n in range(6)
]


def main() -> None:
    """Send and end; COUNT is divided among the threads."""
    url, host, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    cfg.CONF([], project="cascade-bench", default_config_files=[])
    target = oslo_messaging.Target(topic="compute", exchange="nova", version="6.0")
    client = oslo_messaging.get_rpc_client(nova_rpc.transport(url), target)
    threads = [threading.Thread(target=send, args=(client, host, count // THREADS)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def send(client: Any, host: str, count: int) -> None:
    """Cast ``count`` stop_instance of as many instances."""
    prepared = client.prepare(server=host)
    for _ in range(count):
        data = {
            "uuid": str(uuid.uuid4()),
            "display_name": "bench",
            "system_metadata": {f"key{n}": "v" * 20 for n in range(60)},
        }
        instance = {"nova_object.name": "Instance", "nova_object.namespace": "nova", "nova_object.version": "2.8",
                    "nova_object.data": data, "nova_object.changes": []}  # fmt: skip
        context = {"request_id": f"req-{uuid.uuid4()}", "auth_token": "t" * 180, "service_catalog": CATALOG}
        prepared.cast(context, "stop_instance", instance=instance, clean_shutdown=True)


if __name__ == "__main__":
    main()
