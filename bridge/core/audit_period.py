"""The periods that usage is told for: Nova's option instance_usage_audit_period. Naive datetimes are UTC, as Nova's."""

import datetime
from dataclasses import dataclass

from proto.errors import Malformed

_FIRST = {"hour": 0, "day": 0, "month": 1, "year": 1}  # where a period begins without an offset
_LAST = {"hour": 59, "day": 23, "month": 28, "year": 12}


@dataclass(frozen=True, slots=True)
class AuditPeriod:
    """From when to when."""

    beginning: datetime.datetime
    ending: datetime.datetime


def last_completed(unit: str, now: datetime.datetime) -> AuditPeriod:
    """Return the newest period that is over; ``unit`` is hour, day, month or year, with @offset (Nova 34, utils.py)."""
    name, offset = parse(unit)
    ending = _begun(name, offset, now)
    return AuditPeriod(_begun(name, offset, ending), ending)


def current(unit: str, now: datetime.datetime) -> AuditPeriod:
    """Return the period that has begun, so far."""
    return AuditPeriod(last_completed(unit, now).ending, now)


def utc(moment: float) -> datetime.datetime:
    """Return epoch s as such a datetime."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).replace(tzinfo=None)


def parse(unit: str) -> tuple[str, int]:
    """Return a period's name and offset; Malformed if Nova knows no such period."""
    name, _, offset = unit.partition("@")
    if name not in _FIRST or not (offset or "0").isdigit():
        raise Malformed(f"{unit!r} is not hour, day, month or year, perhaps with @ and a number")
    number = max(int(offset or 0), _FIRST[name])
    if number > _LAST[name]:
        raise Malformed(f"{unit!r}: at most {name}@{_LAST[name]}")
    return name, number


def _begun(name: str, offset: int, before: datetime.datetime) -> datetime.datetime:
    """Return the newest beginning of a period before a moment."""
    if name == "hour":
        start = before.replace(minute=offset, second=0, microsecond=0)
        return start if start < before else start - datetime.timedelta(hours=1)
    midnight = before.replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "day":
        start = midnight.replace(hour=offset)
        return start if start < before else start - datetime.timedelta(days=1)
    if name == "month":
        start = midnight.replace(day=offset)
        return start if start < before else (midnight.replace(day=1) - datetime.timedelta(days=1)).replace(day=offset)
    start = midnight.replace(month=offset, day=1)
    return start if start < before else start.replace(year=start.year - 1)
