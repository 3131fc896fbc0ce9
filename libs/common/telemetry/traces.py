"""OpenTelemetry traces, from the gateway's request through the outbox to whoever reads the event."""

from opentelemetry import context, trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("regent")
_IDS = RandomIdGenerator()


def configure_traces(service: str, endpoint: str | None) -> None:
    """Make spans for this process, exported to an OTLP/HTTP endpoint where one is configured.

    Without one spans only carry ids from request to event to log line: nobody would see what they record.
    """
    if endpoint:
        _export(f"regent-{service}", endpoint)


def _export(name: str, endpoint: str) -> None:
    # imported here: most processes start without, which they do the sooner
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

    provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)


class span:  # noqa: N801 - used like a function; a generator would double what a request pays for it
    """Run a span; `parent` is a W3C traceparent that came from outside this process."""

    def __init__(self, name: str, *, parent: str | None = None, kind: SpanKind = SpanKind.INTERNAL) -> None:
        above = _PROPAGATOR.extract({"traceparent": parent}) if parent else None
        begun = _TRACER.start_span(name, context=above, kind=kind)
        self._span = begun if begun.is_recording() else _unrecorded(begun)

    def __enter__(self) -> Span:
        """Make it the current one."""
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """End it, with what went wrong."""
        context.detach(self._token)
        if isinstance(error, Exception):
            self._span.record_exception(error)
            self._span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        self._span.end()


def _unrecorded(begun: Span) -> Span:
    """Return a span that carries ids only; without a provider OpenTelemetry's own has those of its parent, or none."""
    above = begun.get_span_context()
    return NonRecordingSpan(SpanContext(above.trace_id or _IDS.generate_trace_id(), _IDS.generate_span_id(), False))


def current_traceparent() -> str | None:
    """Return the running span as a W3C traceparent (version 00), or None."""
    running = trace.get_current_span().get_span_context()
    if not running.is_valid:
        return None
    return f"00-{running.trace_id:032x}-{running.span_id:016x}-{running.trace_flags:02x}"
