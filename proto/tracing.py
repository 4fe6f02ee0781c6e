"""Trace context in and out of headers; the only place that sets up OpenTelemetry. Off costs nothing."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from opentelemetry import context, propagate, trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_enabled = False
_provider: "TracerProvider | None" = None
_tracer = trace.get_tracer("cascade")


def set_up(service: str, endpoint: str, attributes: Mapping[str, str]) -> None:
    """Send spans to an OTLP/HTTP endpoint in the background; an exporter that is down blocks nothing."""
    # Imported here: a program that does not trace starts without them.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    global _enabled, _provider
    resource = Resource.create({"service.name": service, **attributes})
    _provider = TracerProvider(resource=resource)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(_provider)
    _enabled = True


def shut_down() -> None:
    """Send what is left and stop; call once at exit."""
    if _provider is not None:
        _provider.shutdown()


def inject() -> dict[str, str]:
    """Return the headers that carry the current trace; empty when tracing is off."""
    headers: dict[str, str] = {}
    if _enabled:
        propagate.inject(headers)
    return headers


@contextlib.contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[None]:
    """Make the trace in ``headers`` the current one inside the block."""
    if not _enabled or not headers:
        yield
        return
    token = context.attach(propagate.extract(dict(headers)))
    try:
        yield
    finally:
        context.detach(token)


@contextlib.contextmanager
def span(name: str, **attributes: str | int | float) -> Iterator[None]:
    """Record the block as a span of the current trace; an exception marks it failed and goes on."""
    if not _enabled:
        yield
        return
    with _tracer.start_as_current_span(name, attributes={f"cascade.{k}": v for k, v in attributes.items()}):
        yield
