"""`python -m deploy.nats init DIRECTORY`: makes all keys, the bridges' credentials and nats-server.conf."""

import argparse
import sys
from pathlib import Path

from bridge.edge.nats_jwt import Server
from deploy.nats.files import NatsFiles, make_sealing_key
from proto.errors import CascadeError


def main() -> int:
    """Write the files and say what to do with them; keys that exist are kept."""
    parser = argparse.ArgumentParser(prog="python -m deploy.nats", description=__doc__)
    parser.add_argument("command", choices=["init"])
    parser.add_argument("directory", type=Path, help="where keys and configuration go")
    parser.add_argument("--name", default="cascade-1", help="server name, unique in a cluster")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=4222)
    parser.add_argument("--store", type=Path, default=Path("/var/lib/nats"), help="directory for JetStream")
    parser.add_argument("--certificate", type=Path, help="PEM; sites should only ever be reached over TLS")
    parser.add_argument("--key", type=Path, help="PEM key of the certificate")
    parser.add_argument("--no-sync-always", action="store_true", help="for a cluster of three (JetStream R3)")
    args = parser.parse_args()
    if bool(args.certificate) != bool(args.key):
        parser.error("--certificate and --key belong together")
    sealing_key = args.directory / "bridge-sealing.key"
    files = NatsFiles(args.directory)
    server = Server(args.name, args.host, args.port, args.store, not args.no_sync_always, args.certificate, args.key)
    try:
        files.prepare(server)
        make_sealing_key(sealing_key)
    except (CascadeError, OSError) as error:
        print(f"deploy.nats: {error}", file=sys.stderr)
        return 1
    print(f"run: nats-server --config {files.config}")
    print(f"[nats] credentials_file = {files.bridge_credentials}   (every bridge)")
    print(f"[nats] account_key_file = {files.account_key}   (where `cascade site add` runs)")
    print(f"[bridge] sealing_key_file = {sealing_key}   (every bridge)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
