"""The emulator without its socket: every request value has a response value."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from sagewire.emulator.aws import other_services, sts
from sagewire.emulator.aws.async_inference import Asynchronous
from sagewire.emulator.aws.control_plane import TARGET, ControlPlane
from sagewire.emulator.aws.deployments import Deployments
from sagewire.emulator.aws.front_door import aws_error
from sagewire.emulator.aws.identity import Identities, IdentityError, Role
from sagewire.emulator.aws.openai_route import ROUTE, OpenAiRoute
from sagewire.emulator.aws.runtime import Runtime
from sagewire.emulator.aws.s3 import Storage
from sagewire.emulator.aws.signatures import verify
from sagewire.emulator.containers import Containers
from sagewire.emulator.endpoints import PAYLOAD_BYTES, ContainerCall, Endpoint, EndpointSpec, find_endpoint, parse_spec
from sagewire.emulator.http_values import Request, Response

__all__ = ["Service"]

_INVOKE = re.compile(r"/endpoints/([^/]+)/(invocations|invocations-response-stream|async-invocations)")
_ENDPOINT = re.compile(r"/endpoints/([^/]+)/")
MAX_CALLS = 20_000
# Objects of S3 are kept in memory, so that they are bounded below S3's own 5 GB.
MAX_OBJECT_BYTES = 1024 * 1024 * 1024
DEPLOY_SECONDS = 0.2
MAX_REMEMBERED_BYTES = 512 * 1024 * 1024
# Whose requests all have the same path; those of a web identity are not signed.
_AT_THE_ROOT = ("sts", "sagemaker", "")
_CONTAINER = re.compile(r"/containers/([^/]+)(/.*)?")


class Service:
    """Everything the emulator answers.

    Args:
        endpoints: Endpoints by name.
        region: The region it pretends to be in.
        clock: Seconds since the epoch.
        roles: Roles besides the default one.
        deploy_seconds: How long creating, updating and deleting an endpoint takes.
    """

    def __init__(
        self,
        endpoints: Mapping[str, str | EndpointSpec],
        *,
        region: str,
        clock: Callable[[], float],
        roles: Iterable[Role] = (),
        deploy_seconds: float = DEPLOY_SECONDS,
    ) -> None:
        self.identities = Identities(clock, roles)
        self.storage = Storage(self.identities, clock, region)
        self.endpoints: dict[str, Endpoint] = {}
        self.calls: list[ContainerCall] = []
        self._remembered = 0
        self._region = region
        self._clock = clock
        for name, spec in endpoints.items():
            self.add(name, spec)
        self.runtime = Runtime(self.endpoints, self.identities, region, clock, self._remember)
        self._asynchronous = Asynchronous(self.runtime, self.storage)
        self._openai = OpenAiRoute(self.runtime, self.identities, region, clock)
        self._deployments = Deployments(self.endpoints, clock, deploy_seconds)
        self._control_plane = ControlPlane(self.endpoints, self.identities, region, self._deployments)
        self._containers = Containers(self.endpoints, self._remember)

    def add(self, name: str, spec: str | EndpointSpec) -> None:
        """Start an endpoint, or replace one."""
        parsed = parse_spec(spec)
        account = parsed.account or self.identities.user.account
        self.endpoints[name] = Endpoint(name, parsed, account, self._clock)
        if parsed.asynchronous:
            self.storage.add_bucket(parsed.asynchronous.removeprefix("s3://").partition("/")[0])

    def _remember(self, call: ContainerCall) -> None:
        """Keep a call for `calls`; a server that runs for days keeps the latest only."""
        self.calls.append(call)
        self._remembered += len(call.body)
        if len(self.calls) > MAX_CALLS or self._remembered > MAX_REMEMBERED_BYTES:
            del self.calls[: len(self.calls) // 2]
            self._remembered = sum(len(kept.body) for kept in self.calls)

    def body_limit(self, path: str) -> int:
        """Return how many bytes a request with this path may have: fewer for an endpoint than for an object of S3."""
        return PAYLOAD_BYTES if _ENDPOINT.match(path) or _CONTAINER.match(path) else MAX_OBJECT_BYTES

    def blocks(self, request: Request) -> bool:
        """Return whether answering may wait for a network: the shell then uses a thread."""
        match = _ENDPOINT.match(request.path) or _CONTAINER.match(request.path)
        if match is None:
            return False
        endpoint, _ = find_endpoint(self.endpoints, match[1])
        return endpoint is not None and endpoint.blocking

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        self._deployments.settle()
        try:
            response = self._dispatch(request)
        except IdentityError as error:
            response = aws_error(error.code, error.status, error.message)
        if not any(name.lower() == "x-amzn-requestid" for name in response.headers):
            response = replace(response, headers={**response.headers, "x-amzn-RequestId": str(uuid.uuid4())})
        return response

    def _dispatch(self, request: Request) -> Response:
        path = request.path
        if (match := _CONTAINER.fullmatch(path)) is not None:
            return self._containers.handle(request, match[1], match[2] or "/")
        if (match := _INVOKE.fullmatch(path)) is not None and request.method == "POST":
            caller = verify(request, self.identities, self._clock, region=self._region, services=("sagemaker",))
            if match[2] == "async-invocations":
                return self._asynchronous.invoke(request, match[1], caller)
            return self.runtime.invoke(request, match[1], caller, stream=match[2] != "invocations")
        if (match := ROUTE.fullmatch(path)) is not None:
            return self._openai.handle(request, match[1], match[2], match[3])
        if path == "/" and request.method == "POST" and other_services.service_of(request) in _AT_THE_ROOT:
            if request.headers.get("x-amz-target", "").startswith(TARGET):
                return self._ask_control_plane(request)
            if "x-amz-target" not in request.headers:
                return sts.handle(request, self.identities, self._clock, self._region)
        if "/s3/aws4_request" in request.headers.get("authorization", "") or "X-Amz-Signature" in request.query:
            return self.storage.handle(request)
        if (hint := other_services.not_openai(request, self.endpoints)) is not None:
            return hint
        return other_services.refuse(request)

    def _ask_control_plane(self, request: Request) -> Response:
        try:
            caller = verify(request, self.identities, self._clock, region=self._region, services=("sagemaker",))
        except IdentityError as error:
            return self._control_plane.refuse(error)
        return self._control_plane.handle(request, caller)
