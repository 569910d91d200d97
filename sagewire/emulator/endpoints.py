"""Endpoints: what a user asks for (`EndpointSpec`), and what runs because of it (`Endpoint`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from sagewire._short_repr import ShortRepr
from sagewire.emulator.dialects import Container, Dialect, get_dialect
from sagewire.emulator.engines import Engine, get_engine
from sagewire.emulator.faults import FaultInjection, FaultyEngine, make_fault, split_suffix
from sagewire.emulator.http_values import Request, Response
from sagewire.errors import UsageError

__all__ = ["PAYLOAD_BYTES", "ContainerCall", "Endpoint", "EndpointSpec", "Running", "find_endpoint", "parse_spec"]

STATUSES = (
    "InService",
    "Creating",
    "Updating",
    "SystemUpdating",
    "RollingBack",
    "OutOfService",
    "Deleting",
    "Failed",
    "UpdateRollbackFailed",
)
# An endpoint being updated still serves its old configuration.
SERVING = ("InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed")
# Of a request and of a whole answer (hosting-faqs); the API's model still says 6 MB.
PAYLOAD_BYTES = 25 * 1024 * 1024
_NAME = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62}")


@dataclass(frozen=True, slots=True, repr=False)
class EndpointSpec(ShortRepr):
    """One endpoint to emulate; also one inference component or one model of a multi-model endpoint.

    Args:
        dialect: The container's dialect: a name in `DIALECTS` or a `Dialect`.
        engine: The engine: a name in `ENGINES`, with `=argument` if it takes one, or an `Engine`.
        account: The account that owns it; `None` is the account of the emulator's own user.
        faults: Its faults: `"throttle:2"`, see `FAULTS`.
        status: An endpoint status; `InService` answers.
        latency: Seconds before the first byte.
        model_id: The model's hub id; `None` is the dialect's usual one.
        model_data: The location of the model's files: an S3 folder, or an archive in S3.
        environment: Environment variables on top of the dialect's.
        image: The image URI instead of the dialect's.
        tags: Tags on top of the dialect's.
        components: Inference components by name; such an endpoint has no model itself.
        base: For a component that is a LoRA adapter: the component that carries the base model.
        copies: Running copies; 0 is scaled to zero.
        models: Artifacts of a multi-model endpoint; their requests name one in `TargetModel`.
        asynchronous: The endpoint takes asynchronous invocations only, and writes its answers below this S3 URI.
        failure_path: The S3 folder for its errors; `None` is `failures` below the answers, and an empty text none.
        adapters: LoRA adapters the container has loaded.
        dimensions: The length of embedding vectors.
        sessions: Sticky sessions are switched on.
        instance_type: The instance type that the control plane reports.
        serverless: A serverless endpoint, which takes and returns 4 MB and does not stream.
        payload_bytes: The most bytes of a request and of a whole answer; SageMaker's own maximum unless less is set.
    """

    dialect: str | Dialect = "openai_chat"
    engine: str | Engine = "echo"
    account: str | None = None
    faults: Sequence[str | FaultInjection] = ()
    status: str = "InService"
    latency: float = 0.0
    model_id: str | None = None
    model_data: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    components: Mapping[str, str | EndpointSpec] = field(default_factory=dict)
    base: str | None = None
    copies: int = 1
    models: Sequence[str] = ()
    asynchronous: str | None = None
    failure_path: str | None = None
    adapters: Sequence[str] = ()
    dimensions: int = 64
    sessions: bool = True
    instance_type: str = "ml.g5.2xlarge"
    serverless: bool = False
    payload_bytes: int = PAYLOAD_BYTES

    @property
    def failures(self) -> str:
        """The S3 folder for errors of asynchronous invocations; empty if not configured."""
        if self.failure_path is None and self.asynchronous is not None:
            return f"{self.asynchronous.rstrip('/')}/failures"
        return (self.failure_path or "").rstrip("/")


def parse_spec(spec: str | EndpointSpec) -> EndpointSpec:
    """Return the specification written as `DIALECT[:ENGINE]`.

    Example:
        >>> parse_spec("tgi:scripted=yes|no").engine
        'scripted=yes|no'
    """
    if not isinstance(spec, str):
        return spec
    dialect, _, engine = spec.partition(":")
    return EndpointSpec(dialect, engine or "echo")


@dataclass(frozen=True, slots=True)
class ContainerCall:
    """A request as a container saw it.

    Args:
        endpoint: The endpoint's name.
        path: The container's path.
        headers: Names in lower case, as far as the front door lets them through.
        body: The request body.
        component: The inference component, if the endpoint has some.
        method: The HTTP method.
    """

    endpoint: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    component: str | None = None
    method: str = "POST"

    @property
    def json(self) -> Any:
        """The body, parsed.

        Raises:
            ValueError: It is not JSON.
        """
        return orjson.loads(self.body)


@dataclass(slots=True)
class Running:
    """A dialect and a container of it."""

    spec: EndpointSpec
    dialect: Dialect
    container: Container

    def handle(self, request: Request) -> Response:
        """Let the container answer."""
        return self.dialect.handle(request, self.container)

    def handle_with(self, request: Request, faults: Sequence[FaultInjection]) -> Response:
        """Let the container answer, with the faults inside it."""
        engine = self.container.engine
        after = [fault.fails_after for fault in faults if fault.fails_after is not None]
        container = replace(self.container, engine=FaultyEngine(engine, min(after))) if after else self.container
        for fault in faults:
            refused = fault.container(self.dialect.failure)
            if refused is not None:
                return refused
        return self.dialect.handle(request, container)


class Endpoint:
    """A running endpoint.

    Args:
        name: The endpoint's name.
        spec: Its specification.
        account: The account that owns it.
        clock: Seconds since the epoch.

    Raises:
        UsageError: The specification cannot be.
    """

    def __init__(self, name: str, spec: EndpointSpec, account: str, clock: Callable[[], float]) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"endpoint name {name!r}: use letters, digits and single hyphens, 63 at most, as SageMaker requires"
            )
        if spec.status not in STATUSES:
            raise UsageError(f"status {spec.status!r} of endpoint {name!r} is not one of {', '.join(STATUSES)}")
        self.name = name
        self.spec = spec
        self.account = account
        self.created = clock()
        # Until when it is in which status, on its way to that of its specification.
        self.phases: list[tuple[float, str]] = []
        self.config_name = f"{name}-config"
        self.failure: str | None = None
        self._clock = clock
        self._faults: dict[str, FaultInjection] = {}
        self.spec_faults = [self.fault(fault) for fault in spec.faults]
        specs = {key: parse_spec(value) for key, value in spec.components.items()}
        self.components = {key: self._run(key, value, specs) for key, value in specs.items()}
        self.main = None if spec.components else self._run(name, spec, {})
        # Sticky sessions: id -> when it ends.
        self.session_ends: dict[str, float] = {}

    def _run(self, name: str, spec: EndpointSpec, components: Mapping[str, EndpointSpec]) -> Running:
        adapters = set(spec.adapters)
        if spec.base is not None:
            if spec.base not in components:
                raise UsageError(
                    f"adapter {name!r} names the base {spec.base!r}, which is not a component of its endpoint"
                )
            adapters.add(name)
            own = spec
            spec = replace(components[spec.base], base=own.base, copies=own.copies, faults=own.faults)
        dialect = get_dialect(spec.dialect)
        model_id = spec.model_id or dialect.model_id
        defaults = {key: value.replace("{model_id}", model_id) for key, value in dialect.environment.items()}
        environment = {key: value for key, value in (defaults | dict(spec.environment)).items() if value}
        container = Container(
            name, get_engine(spec.engine), environment, model_id, self._clock, adapters, spec.dimensions
        )
        return Running(spec, dialect, container)

    @property
    def serving(self) -> bool:
        """Whether the endpoint takes requests."""
        return self.status in SERVING

    @property
    def status(self) -> str:
        """The status at this moment."""
        now = self._clock()
        return next((status for until, status in self.phases if now < until), self.spec.status)

    @property
    def blocking(self) -> bool:
        """Whether one of its engines may wait."""
        running = [*self.components.values(), *([self.main] if self.main else [])]
        return any(item.container.engine.blocking for item in running)

    def fault(self, fault: str | FaultInjection) -> FaultInjection:
        """Return a fault; the same text always gives the same object, because some count."""
        if not isinstance(fault, str):
            return fault
        if fault not in self._faults:
            self._faults[fault] = make_fault(fault)
        return self._faults[fault]


def find_endpoint(endpoints: Mapping[str, Endpoint], name: str) -> tuple[Endpoint | None, str | None]:
    """Return the endpoint of a name, and the fault its suffix asks for (`chat--throttle-2` is `chat`)."""
    if name in endpoints:
        return endpoints[name], None
    stem, fault = split_suffix(name)
    return (endpoints.get(stem), fault) if fault is not None else (None, None)
