"""Which request of Nova, and which instance, a log line or a request to a cloud belongs to; for both programs."""

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

_FORMAT = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [%(work)s] %(message)s"


@dataclass(frozen=True, slots=True)
class Work:
    """The command a task is busy with; empty fields are left out of the lines."""

    site: str = ""
    request_id: str = ""
    instance: str = ""
    generation: int = 0

    def __str__(self) -> str:
        named = {"site": self.site, "instance": self.instance, "generation": self.generation}
        words = [self.request_id or "-", *(f"{key}={value}" for key, value in named.items() if value)]
        return " ".join(words)


_work: ContextVar[Work] = ContextVar("work", default=Work())  # noqa: B039 - frozen


def set_format(conf: Any) -> None:
    """Log to stderr, every line with the current Work; call before oslo.log's setup."""
    conf.set_default("use_stderr", True)
    conf.set_default("logging_default_format_string", _FORMAT)
    conf.set_default("logging_exception_prefix", "%(asctime)s.%(msecs)03d %(process)d ERROR %(name)s")
    plain = logging.getLogRecordFactory()

    def with_work(*arguments: Any, **fields: Any) -> logging.LogRecord:
        record = plain(*arguments, **fields)
        record.work = str(_work.get())
        return record

    logging.setLogRecordFactory(with_work)


def request_id() -> str:
    """Nova's request id above for what this task is doing; empty if it acts on its own."""
    return _work.get().request_id


@contextlib.contextmanager
def about(work: Work) -> Iterator[None]:
    """Lines logged and requests made inside the block belong to ``work``."""
    token = _work.set(work)
    try:
        yield
    finally:
        _work.reset(token)
