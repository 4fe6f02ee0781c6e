"""What an HTTP answer of a site's API means to us."""

import re
from dataclasses import dataclass
from typing import Any

from proto.errors import CascadeError, FaultCode, Refused, Unavailable
from site_agent.core.breaker import Overloaded

_LONGEST_MESSAGE = 500  # characters
_MARKUP = re.compile(r"<(head|style).*?</\1>|<[^>]*>", re.DOTALL)  # Glance answers in HTML
_BUSY = ("task_state", "retry your request", "try again", "concurrent operation")
_OVERLOADED = (429, 502, 503, 504)  # they come from what stands before the API, or before its work
_SITE_WAITS = 30.0  # s between two tries with refused credentials


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and decoded JSON of one request; ``body`` is text where the API did not send JSON."""

    status: int
    body: Any = None
    date: float | None = None  # the site's clock, epoch s, if it shows it
    retry_after: float | None = None  # s, as its header of that name asks

    @property
    def ok(self) -> bool:
        """Whether the site did what was asked."""
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        """The site's own words of a refusal; each project wraps them in its own way."""
        return _words(self.body)[:_LONGEST_MESSAGE] or f"HTTP {self.status}"


def checked(answer: Answer, code: FaultCode = FaultCode.REJECTED) -> Any:
    """Return the body; raise what the status means if it is a refusal, with ``code`` for a plain no."""
    if answer.ok:
        return answer.body
    raise problem(answer, code)


def problem(answer: Answer, code: FaultCode = FaultCode.REJECTED) -> CascadeError:
    """Return the error that says what to do about a status of 400 and above that means no, or not in this state."""
    text, lower = answer.message, answer.message.lower()
    if _is_quota(answer, lower):
        return Refused(FaultCode.QUOTA, text)
    if answer.status == 409 and any(word in lower for word in _BUSY) and "vm_state" not in lower:
        return Unavailable(f"the site is busy with it: {text}")
    if answer.status == 409 and code is FaultCode.REJECTED:
        return Refused(FaultCode.CONFLICT, text)
    return Refused(code, text)


def waiting_time(header: str | None, then: float | None, now: float | None) -> float | None:
    """Return the s that a Retry-After header asks for (RFC 9110, 10.2.3); None if there is none that can be read.

    ``then``: the header read as a date, epoch s; ``now``: the site's clock.
    """
    if header and header.strip().isdecimal():
        return float(header)
    return max(0.0, then - now) if then is not None and now is not None else None


def refuse_not_now(answer: Answer, what: str) -> None:
    """Raise Unavailable if the answer says nothing of the request itself, only that it cannot be taken now."""
    if answer.status == 401:
        raise Unavailable(f"{what}: the site refuses the agent's credentials: {answer.message}", _SITE_WAITS)
    if answer.status == 501 or is_full(answer):  # 501: it has no such feature
        return
    said = f"{what}: the site answers {answer.status}: {answer.message}"
    if answer.status in _OVERLOADED:
        raise Overloaded(said, answer.retry_after)
    if answer.status >= 500:
        raise Unavailable(said)


def is_locked(answer: Answer) -> bool:
    """Whether the server's lock in the site forbids it."""
    return answer.status == 409 and "locked" in answer.message.lower()


def is_full(answer: Answer) -> bool:
    """Whether a store has no room for what was sent; Glance says so in several ways, and waiting does not mend it."""
    lower = answer.message.lower()
    if answer.status in (500, 503):
        return "storage media" in lower or "no space left" in lower or "disk full" in lower
    return answer.status in (413, 507)


def _is_quota(answer: Answer, lower: str) -> bool:
    if is_full(answer):
        return True
    return answer.status in (403, 409) and ("quota" in lower or "exceed" in lower)


def _words(body: Any) -> str:
    if isinstance(body, str):
        return " ".join(_MARKUP.sub(" ", body).split())
    if not isinstance(body, dict):
        return ""
    if isinstance(body.get("errors"), list) and body["errors"]:
        return str(body["errors"][0].get("detail", ""))
    for value in body.values():
        if isinstance(value, dict) and "message" in value:
            kind = value.get("type", "")
            return f"{kind}: {value['message']}" if kind else str(value["message"])
        if isinstance(value, str):
            return value
    return ""
