"""Models, endpoint configurations and endpoints that are created, updated and deleted through the control plane.

What was deployed takes time, as on AWS: an endpoint is `Creating` before it is `InService`, or `Failed` if its image is
of no container the emulator has; an update is `Updating`, or `RollingBack` to what ran before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sagewire.emulator.dialects import DIALECTS, Dialect
from sagewire.emulator.endpoints import Endpoint, EndpointSpec
from sagewire.emulator.faults import Refused

__all__ = ["Deployments", "dialect_of_image"]

JSON = dict[str, Any]
_NAME = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62}")
UNHEALTHY = (
    "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
    "CloudWatch logs for this endpoint."
)


class Deployments:
    """The resources that callers made, and the names of those they deleted.

    Args:
        endpoints: The running endpoints by name; endpoints are put in and taken out.
        clock: Seconds since the epoch.
        seconds: How long creating, updating and deleting an endpoint takes.
    """

    def __init__(self, endpoints: dict[str, Endpoint], clock: Callable[[], float], seconds: float) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._seconds = seconds
        self.models: dict[tuple[str, str], JSON] = {}
        self.configs: dict[tuple[str, str], JSON] = {}
        # Names of models and configurations that came with an endpoint and were deleted since.
        self.deleted: set[tuple[str, str]] = set()
        self._pending: dict[str, tuple[float, Endpoint | None]] = {}

    def settle(self) -> None:
        """Carry out the updates and deletions whose time has come."""
        for name, (when, successor) in list(self._pending.items()):
            if self._clock() >= when:
                del self._pending[name]
                if successor is None:
                    self._endpoints.pop(name, None)
                else:
                    self._endpoints[name] = successor

    def create_model(self, asked: JSON, account: str) -> str:
        """Remember a model and return its name."""
        name = _valid_name(asked, "ModelName")
        if (account, name) in self.models:
            raise _invalid(f"Cannot create already existing model {name!r}.")
        container = asked.get("PrimaryContainer") or next(iter(asked.get("Containers") or ()), None)
        if not isinstance(container, dict) or not (container.get("Image") or container.get("ModelPackageName")):
            raise _invalid("A container with an Image or a ModelPackageName must be given.")
        self.deleted.discard((account, name))
        self.models[account, name] = {
            "ModelName": name,
            "PrimaryContainer": {"Mode": "SingleModel", **container},
            "ExecutionRoleArn": asked.get("ExecutionRoleArn", ""),
            "CreationTime": self._clock(),
            "EnableNetworkIsolation": bool(asked.get("EnableNetworkIsolation")),
        }
        return name

    def create_config(self, asked: JSON, account: str, model_exists: Callable[[str], bool]) -> str:
        """Remember an endpoint configuration and return its name."""
        name = _valid_name(asked, "EndpointConfigName")
        if (account, name) in self.configs:
            raise _invalid(f"Cannot create already existing endpoint configuration {name!r}.")
        variants = asked.get("ProductionVariants")
        if not isinstance(variants, list) or not variants:
            raise _invalid("Value at 'productionVariants' must not be empty")
        for variant in variants:
            if not model_exists(variant.get("ModelName", "")):
                raise _invalid(f"Could not find model {variant.get('ModelName')!r}.")
        self.deleted.discard((account, name))
        kept: JSON = {key: asked[key] for key in ("ProductionVariants", "AsyncInferenceConfig") if key in asked}
        self.configs[account, name] = {"EndpointConfigName": name, "CreationTime": self._clock(), **kept}
        return name

    def create_endpoint(self, asked: JSON, account: str, spec: EndpointSpec | None, config: str) -> str:
        """Start an endpoint of a configuration; without a specification its container fails to start."""
        name = _valid_name(asked, "EndpointName")
        if name in self._endpoints:
            raise _invalid(f"Cannot create already existing endpoint {name!r}.")
        endpoint = self._endpoint(name, spec, account, config)
        endpoint.phases = [(self._clock() + self._seconds, "Creating")]
        self._endpoints[name] = endpoint
        return name

    def update_endpoint(self, running: Endpoint, spec: EndpointSpec | None, config: str) -> None:
        """Replace what an endpoint runs, or roll back if the new container does not start."""
        if running.status != "InService":
            raise _invalid(f"Cannot update endpoint {running.name!r} in status {running.status}.")
        now = self._clock()
        if spec is None:
            running.phases = [(now + self._seconds, "Updating"), (now + 2 * self._seconds, "RollingBack")]
            running.failure = UNHEALTHY
            return
        running.phases = [(now + self._seconds, "Updating")]
        successor = self._endpoint(running.name, spec, running.account, config)
        successor.created = running.created
        self._pending[running.name] = (now + self._seconds, successor)

    def delete_endpoint(self, running: Endpoint) -> None:
        """Stop an endpoint."""
        when = self._clock() + self._seconds
        running.phases = [(when, "Deleting")]
        self._pending[running.name] = (when, None)

    def _endpoint(self, name: str, spec: EndpointSpec | None, account: str, config: str) -> Endpoint:
        endpoint = Endpoint(name, spec or EndpointSpec(status="Failed"), account, self._clock)
        endpoint.config_name = config
        endpoint.failure = UNHEALTHY if spec is None else None
        return endpoint


def dialect_of_image(image: str, environment: dict[str, str]) -> str | None:
    """Return the dialect of a container image, by its repository and tag, or `None`.

    Example:
        >>> dialect_of_image("763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-tgi-inference:2.4", {})
        'tgi'
    """
    wanted = _repository(image)
    same: list[tuple[str, type[Dialect]]] = [
        (name, kind) for name, kind in DIALECTS.items() if kind.image and _repository(kind.image) == wanted
    ]
    if not same:
        return None
    exact = [(name, kind) for name, kind in same if _tag(kind.image) == _tag(image)]
    chosen = exact or same
    # One image may serve many tasks; the environment says which.
    return max(chosen, key=lambda pair: sum(environment.get(k) == v for k, v in pair[1].environment.items()))[0]


def _repository(image: str) -> str:
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def _tag(image: str) -> str:
    return image.rpartition("/")[2].partition(":")[2]


def _valid_name(asked: JSON, key: str) -> str:
    value = asked.get(key)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _invalid(
            f"1 validation error detected: Value '{value}' at '{key[0].lower()}{key[1:]}' is not a valid name"
        )
    return value


def _invalid(message: str) -> Refused:
    return Refused("ValidationException", 400, message)
