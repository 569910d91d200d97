"""Faults that end a request before the model is asked: refusals, broken proxies, silence, and failing containers."""

from __future__ import annotations

from collections.abc import Callable

from sagewire.emulator.engines.base import EngineFailure
from sagewire.emulator.faults.base import FOREVER, FaultInjection, Refused, Times, number
from sagewire.emulator.http_values import Response

__all__ = [
    "AccessDenied",
    "ContainerError",
    "ContainerHtml",
    "DependencyFailure",
    "Html502",
    "InternalFailure",
    "InvocationTimeout",
    "NeverAnswer",
    "NoCapacity",
    "NotReady",
    "Reset",
    "SlowStart",
    "Throttle",
    "TooManyRequests",
    "Unavailable",
]

NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)
HTML_502 = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"</body>\r\n</html>\r\n"
)


class Throttle(Times):
    """`throttle[:TIMES[,SECONDS]]`: 400 ThrottlingException, with `Retry-After` if seconds are given."""

    status = 400

    def front_door(self) -> Response | None:
        """Refuse."""
        if self.happens():
            wait = self.argument.partition(",")[2]
            raise Refused("ThrottlingException", self.status, "Rate exceeded", {"Retry-After": wait} if wait else {})
        return None


class TooManyRequests(Throttle):
    """`too_many_requests[:TIMES[,SECONDS]]`: the same with HTTP status 429."""

    status = 429


class NotReady(Times):
    """`not_ready[:TIMES]`: 429 ModelNotReadyException, as while a multi-model endpoint loads."""

    def front_door(self) -> Response | None:
        """Refuse."""
        if self.happens():
            raise Refused(
                "ModelNotReadyException",
                429,
                "Model is not ready for inference yet. Please try your request again later.",
            )
        return None


class NoCapacity(Times):
    """`no_capacity[:TIMES]`: 400 ValidationError of an inference component that is scaled to zero."""

    def front_door(self) -> Response | None:
        """Refuse."""
        if self.happens():
            raise Refused("ValidationError", 400, NO_CAPACITY)
        return None


class InternalFailure(Times):
    """`internal_failure[:TIMES]`: 500 InternalFailure."""

    def front_door(self) -> Response | None:
        """Refuse."""
        if self.happens():
            raise Refused("InternalFailure", 500, "An internal failure occurred. Try your request again.")
        return None


class Unavailable(Times):
    """`unavailable[:TIMES]`: 503 ServiceUnavailable."""

    def front_door(self) -> Response | None:
        """Refuse."""
        if self.happens():
            raise Refused("ServiceUnavailable", 503, "The service is currently unavailable. Try your request again.")
        return None


class DependencyFailure(Times):
    """`dependency_failure[:TIMES]`: 530 InternalDependencyException."""

    def front_door(self) -> Response | None:
        """Refuse."""
        if self.happens():
            raise Refused(
                "InternalDependencyException", 530, "Your request caused an exception with an internal dependency."
            )
        return None


class AccessDenied(Times):
    """`access_denied[:TIMES]`: 403 AccessDeniedException."""

    def front_door(self) -> Response | None:
        """Refuse."""
        if self.happens():
            raise Refused(
                "AccessDeniedException", 403, "The caller is not authorized to perform: sagemaker:InvokeEndpoint"
            )
        return None


class Html502(Times):
    """`html_502[:TIMES]`: a proxy's error page instead of any JSON."""

    def front_door(self) -> Response | None:
        """Answer with the page."""
        return Response(502, {"Content-Type": "text/html"}, HTML_502) if self.happens() else None


class Reset(Times):
    """`reset[:TIMES]`: the connection is reset instead of an answer."""

    def front_door(self) -> Response | None:
        """Reset."""
        return Response(reset=True) if self.happens() else None


class NeverAnswer(Times):
    """`never_answer[:TIMES]`: the request is read, and nothing ever comes back."""

    def front_door(self) -> Response | None:
        """Wait forever."""
        return Response(delay=FOREVER) if self.happens() else None


class SlowStart(FaultInjection):
    """`slow_start[:SECONDS]`: so long until the status line; one second without a number."""

    def response(self, response: Response) -> Response:
        """Put the answer off."""
        return Response(response.status, response.headers, response.body, number(self.argument, 1.0), response.reset)


class ContainerError(Times):
    """`container_error[:STATUS[,MESSAGE]]`: the container refuses in its own words; 500 without a status."""

    def __init__(self, argument: str = "") -> None:
        super().__init__("")
        status, _, self._message = argument.partition(",")
        self._status = int(number(status, 500))

    def container(self, failure: Callable[[EngineFailure], Response]) -> Response | None:
        """Return the container's error."""
        return failure(EngineFailure(self._message or "CUDA out of memory. Tried to allocate 2.00 GiB", self._status))


class ContainerHtml(FaultInjection):
    """`container_html[:STATUS]`: the proxy inside the container answers with a page; 502 without a status."""

    def container(self, failure: Callable[[EngineFailure], Response]) -> Response | None:
        """Return the page."""
        return Response(int(number(self.argument, 502)), {"Content-Type": "text/html"}, HTML_502)


class InvocationTimeout(Times):
    """`invocation_timeout[:TIMES]`: SageMaker gave up waiting for the container: 424 with original status 0."""

    def container(self, failure: Callable[[EngineFailure], Response]) -> Response | None:
        """Return nothing, which the front door reports as status 0."""
        return Response(0) if self.happens() else None
