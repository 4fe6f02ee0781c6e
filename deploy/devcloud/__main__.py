"""`python3 -m deploy.devcloud`: see `cli.py`."""

import sys

from deploy.devcloud.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
