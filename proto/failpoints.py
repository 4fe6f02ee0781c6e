"""Named moments at which a test may kill the process: no effect unless CASCADE_FAILPOINT names one.

``CASCADE_FAILPOINT=bridge.planned`` dies by SIGKILL the first time the point is reached, ``bridge.planned:3`` the
third time.
"""

import os
import signal

_NAME, _, _COUNT = os.environ.get("CASCADE_FAILPOINT", "").partition(":")
_left = int(_COUNT or 1)

RECEIVED = "bridge.received"  # RPC taken from RabbitMQ, not yet in INTAKE
STORED = "bridge.stored"  # in INTAKE, not yet in COMMANDS
OBSERVED = "bridge.observed"  # final observation read, not yet saved above
SETTLED = "bridge.settled"  # saved above, not yet recorded
CREATED = "agent.created"  # the site answered 202, command not yet acknowledged
ACCEPTED = "agent.accepted"  # the same for anything but a create or a delete; each waits here until the last one is


def reach(name: str) -> bool:
    """Die here if the environment asks for it; may be called any number of times.

    Returns whether the process is to die at this point, but not this time: who wants all of them caught waits then.
    """
    global _left
    if name != _NAME:
        return False
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return True
