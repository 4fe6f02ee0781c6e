"""Starts nova-compute with our fake driver; runs inside the OpenStack environment.

Nova loads compute drivers from the package nova.virt only, so our directory is appended to its path before anything of
nova.cmd is imported.
"""

import sys
from pathlib import Path

import nova.virt

nova.virt.__path__.append(str(Path(__file__).resolve().parent / "nova_virt"))

from nova.cmd.compute import main  # noqa: E402  (the path comes first)

if __name__ == "__main__":
    sys.argv[0] = "nova-compute"
    sys.exit(main())
