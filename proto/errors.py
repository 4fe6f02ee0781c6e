"""The errors that cross the house, classed by what happens to the message that met them.

    CascadeError
    ├── Refused      the site says no for good         observation with a fault, ack
    ├── Unavailable  not now                           nak with a delay, for ever, visible
    ├── Stale        somebody newer has spoken         ack, debug log
    ├── Expired      too late to begin                 observation with a fault, ack
    ├── Malformed    not a message of ours             term, copy to DEAD
    └── Misconfigured  only the operator can mend it   one clear line, exit code 1

Anything else that is raised is a bug of ours: retried three times in the agent, then a fault, DEAD and term.
"""

from enum import StrEnum


class FaultCode(StrEnum):
    """Reasons that cross the wire; docs and `cascade why` explain each."""

    UNSUPPORTED = "unsupported"  # no row in the table
    NO_CAPACITY = "no_capacity"  # the site's scheduler found no host
    QUOTA = "quota"  # the site's quota is used up
    FLAVOR = "flavor"
    IMAGE = "image"
    NETWORK = "network"
    NETWORK_ELSEWHERE = "network_elsewhere"  # it is in use in another site, and the operator wants it in one only
    KEYPAIR = "keypair"
    CONFLICT = "conflict"  # the server's state in the site forbids it
    MISSING = "missing"  # the server is not in the site
    OCCUPIED = "occupied"  # a server of an earlier life of the instance is in the site; nothing was made beside it
    REJECTED = "rejected"  # the site's API refused the request as such
    EXPIRED = "expired"
    SITE_FAULT = "site_fault"  # the site took it and failed
    SITE_SILENT = "site_silent"
    BUG = "bug"


# Codes after which another site of the same AZ may well succeed.
RESCHEDULABLE = frozenset(
    {FaultCode.NO_CAPACITY, FaultCode.QUOTA, FaultCode.SITE_FAULT, FaultCode.FLAVOR, FaultCode.NETWORK_ELSEWHERE}
)


class CascadeError(Exception):
    """Base of all errors that say what the caller should do."""


class Refused(CascadeError):
    """The site says no for good."""

    def __init__(self, code: FaultCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Unavailable(CascadeError):
    """It may work later; try again after ``retry_after`` s."""

    def __init__(self, message: str, retry_after: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Stale(CascadeError):
    """A newer generation, another owner or a finished operation made this one pointless."""


class Expired(CascadeError):
    """The command must not begin any more."""


class Malformed(CascadeError):
    """Bytes that are no message of this contract, or of a version we do not know."""


class Misconfigured(CascadeError):
    """A setting or an outside server is wrong; the message says what to do."""
