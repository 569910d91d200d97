"""The containers' own HTTP servers, reachable without SageMaker: `/containers/{endpoint}/...`.

This is what a Hugging Face Inference Endpoint or a self-hosted server looks like: no signature, the container's own
routes, statuses, headers and streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from sagewire.emulator.aws.front_door import deliver
from sagewire.emulator.endpoints import ContainerCall, Endpoint, Running, find_endpoint
from sagewire.emulator.faults import FaultInjection, Refused, asked_in_header
from sagewire.emulator.http_values import Request, Response, json_response
from sagewire.errors import UsageError

__all__ = ["Containers"]


class Containers:
    """The plain HTTP side of all endpoints."""

    def __init__(self, endpoints: Mapping[str, Endpoint], record: Callable[[ContainerCall], None]) -> None:
        self._endpoints = endpoints
        self._record = record

    def handle(self, request: Request, name: str, path: str) -> Response:
        """Answer a request to the container of an endpoint, or of an inference component as `endpoint.component`."""
        found = self._find(name)
        if found is None:
            return json_response(404, {"error": f"there is no container {name!r}"})
        endpoint, running, suffix = found
        wanted = asked_in_header(request.headers.get("x-amzn-sagemaker-custom-attributes", ""))
        try:
            faults = [*endpoint.spec_faults, *map(endpoint.fault, (*wanted, *([suffix] if suffix else [])))]
        except UsageError as error:
            return json_response(400, {"error": str(error)})
        if (key := running.container.environment.get("API_KEY")) and request.headers.get(
            "authorization"
        ) != f"Bearer {key}":
            return Response(401)
        try:
            for fault in faults:
                if (response := fault.front_door()) is not None:
                    return response
        except Refused as refused:
            return _refusal(refused)
        return self._ask(request, endpoint, running, path, faults)

    def _find(self, name: str) -> tuple[Endpoint, Running, str | None] | None:
        stem, _, component = name.partition(".")
        endpoint, suffix = find_endpoint(self._endpoints, stem)
        if endpoint is None:
            return None
        running = endpoint.components.get(component) if component else endpoint.main
        return (endpoint, running, suffix) if running is not None else None

    def _ask(
        self, request: Request, endpoint: Endpoint, running: Running, path: str, faults: list[FaultInjection]
    ) -> Response:
        query = f"?{request.raw_query}" if request.raw_query else ""
        inner = replace(request, target=path + query)
        if request.method == "POST":
            self._record(ContainerCall(endpoint.name, path, request.headers, request.body, None, request.method))
        answer = running.handle_with(inner, faults)
        if answer.status == 0:
            return Response(504, {"Content-Type": "text/plain"}, b"upstream request timeout")
        if answer.status >= 300:
            return answer
        answer = replace(answer, delay=answer.delay + running.spec.latency)
        return deliver(answer, faults, framed=False, stream=not isinstance(answer.body, bytes))


def _refusal(refused: Refused) -> Response:
    """Return a refusal without AWS codes, as a plain server's: throttling is 429, and a cold start is 503."""
    status = {"ThrottlingException": 429, "ModelNotReadyException": 503}.get(refused.code, refused.status)
    response = json_response(status, {"error": refused.message})
    return replace(response, headers={**response.headers, **refused.headers})
