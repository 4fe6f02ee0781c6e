"""Real OpenStack clouds on one machine: released packages on loopback, no systemd, no containers.

The controlling code needs only the standard library of Python 3.11; `runtime/` is what runs inside the OpenStack
environment. Start reading at `cli.py`.
"""
