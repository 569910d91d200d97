"""Reading an endpoint's configuration from SageMaker's control plane: `describe` waits, `detect` then decides.

The walk is DescribeEndpoint, DescribeEndpointConfig, DescribeModel (or the inference component, or the model package)
and ListTags; wherever it can stop early it does. The environment of a container may hold secrets, so it never appears
in a repr and only a few known keys are ever shown.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sagewire._short_repr import ShortRepr
from sagewire.aws.lookup_errors import credential_errors
from sagewire.errors import (
    AccessDenied,
    CredentialsExpired,
    EndpointError,
    EndpointNotFound,
    NotReady,
    SagewireError,
    Throttled,
)

__all__ = ["UNREACHABLE", "UNREADABLE", "Container", "Description", "describe"]

READY = "InService"
# States in which an endpoint answers: an update keeps the old version in service, and where the way back failed as
# well, a mix of both is (DescribeEndpoint, EndpointStatus).
SERVING = {READY, "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"}

UNREACHABLE = "control_plane_unreachable"
"""The code of the error for a control plane that cannot be reached."""

UNREADABLE = "control_plane_unreadable"
"""The code of the error for an answer of the control plane that is not one."""

_DOING = "looking up the endpoint's container"
# Pages of a hundred each: more than any account has.
_MAX_PAGES = 100
# Each request has its own limit; this is for all of them.
_LONGEST_SECONDS = 20.0

# Proxies and stand-ins for AWS answer with JSON of other shapes, over which botocore stumbles as well.
_OTHER_SHAPES = (AttributeError, IndexError, KeyError, TypeError)

# States that no waiting ends.
LOST = {"Deleting", "Failed", "OutOfService"}


@dataclass(frozen=True, slots=True, repr=False)
class Container(ShortRepr):
    """One container behind an endpoint.

    Args:
        image: The image URI, empty if it is not visible (marketplace packages).
        environment: Its environment variables; may hold secrets.
        hostname: Its name in a multi-container endpoint.
        multi_model: It loads models on demand.
        model_package: The model package it comes from.
        model_data: Where its artifacts are: the S3 folder of its files, or an archive of them.
    """

    image: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    hostname: str | None = None
    multi_model: bool = False
    model_package: str | None = None
    model_data: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Description(ShortRepr):
    """What the control plane says of one endpoint.

    Args:
        endpoint: Its name.
        status: For example `InService`.
        containers: The containers of the first variant, or of the inference component.
        direct: The caller picks one of several containers by hostname; else they form a pipeline.
        tags: Tags of the endpoint and the model.
        inference_component: The component that is described.
        components: All components of the endpoint, unless one was named.
        copies: Running copies of the component; 0 is scaled to zero.
        asynchronous: Takes InvokeEndpointAsync only.
        serverless: Runs on serverless inference.
        instance_type: For example `ml.g5.2xlarge`.
        incomplete: The parts that could not be read, and why.
        passing: The reason for that is a passing one, such as throttling.
    """

    endpoint: str
    status: str
    containers: tuple[Container, ...] = ()
    direct: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    inference_component: str | None = None
    components: tuple[str, ...] = ()
    copies: int | None = None
    asynchronous: bool = False
    serverless: bool = False
    instance_type: str | None = None
    incomplete: tuple[str, ...] = ()
    passing: bool = False

    @property
    def serving(self) -> bool:
        """Whether a call can be answered now."""
        return self.status in SERVING and self.copies != 0

    def require_serving(self) -> None:
        """Raise `NotReady`, naming the status, if a call cannot be answered now."""
        if self.serving:
            return
        if self.copies == 0:
            what = (
                f"inference component '{self.inference_component}' of endpoint '{self.endpoint}' is scaled to zero; "
                "Retries(wait_for_ready=600) wakes it up and waits for it"
            )
        else:
            what = f"endpoint '{self.endpoint}' is {self.status}, and answers once it is {READY}"
        raise NotReady(what, code=self.status, fault="client", retry_safe=True)


def describe(
    control: Any, endpoint: str, inference_component: str | None = None, *, variant: str | None = None
) -> Description:
    """Return what the control plane says of an endpoint.

    Args:
        control: A boto3 or botocore client for `sagemaker`.
        endpoint: The endpoint's name.
        inference_component: The component to describe; may be omitted if there is only one.
        variant: The production variant to describe; the first if omitted.

    Raises:
        EndpointNotFound: The endpoint or component does not exist in that account and region.
        AccessDenied: `sagemaker:DescribeEndpoint` is not allowed; the message names the permission.
        EndpointError: The control plane failed otherwise. A step that is not allowed leaves a description that is
            `incomplete`; one that fails for a passing reason ends it, since the container's settings would be missing.
    """
    walk = _Walk(control, endpoint)
    try:
        return _describe(walk, endpoint, inference_component, variant)
    except _OTHER_SHAPES as error:
        raise walk.unreadable() from error


def _describe(walk: _Walk, endpoint: str, inference_component: str | None, variant: str | None) -> Description:
    told = walk.call("describe_endpoint", EndpointName=endpoint)
    deployed = _variant(told, variant)
    found = Description(
        endpoint=endpoint,
        status=told["EndpointStatus"],
        asynchronous=bool(told.get("AsyncInferenceConfig")),
        containers=tuple(Container(image=_image(image)) for image in deployed.get("DeployedImages") or ()),
    )
    config = walk.attempt("describe_endpoint_config", EndpointConfigName=told.get("EndpointConfigName"))
    configured = _variant(config, variant) if not config or config["ProductionVariants"] else {}
    found = replace(
        found,
        asynchronous=found.asynchronous or bool(config.get("AsyncInferenceConfig")),
        serverless=bool(configured.get("ServerlessConfig")),
        instance_type=configured.get("InstanceType"),
    )
    tags = walk.tags(told.get("EndpointArn"))
    if configured.get("ModelName"):
        found, tags = _with_model(walk, found, configured["ModelName"], tags)
    elif config:
        found, tags = _with_component(walk, found, inference_component, tags)
    return replace(found, tags=tags, incomplete=tuple(walk.failures), passing=walk.passing)


def _variant(told: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    """Return the variant of that name; the first if none is named, or none has the name, as a call will find out."""
    variants: list[dict[str, Any]] = told.get("ProductionVariants") or []
    named = (variant for variant in variants if variant.get("VariantName") == name)
    return next(named, variants[0] if variants else {})


class _Walk:
    """Calls the control plane; remembers which optional steps were refused."""

    def __init__(self, control: Any, endpoint: str) -> None:
        self._control = control
        self._endpoint = endpoint
        self._until = time.monotonic() + _LONGEST_SECONDS
        self.failures: list[str] = []
        self.passing = False

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

        if time.monotonic() > self._until:
            slow = f"it took longer than {_LONGEST_SECONDS:g} s so far"
            raise _unreachable(slow, self._control, self._endpoint, operation)
        with credential_errors(_DOING):
            try:
                answer: dict[str, Any] = getattr(self._control, operation)(**arguments)
            except ClientError as error:
                known = _translate(error, operation, arguments, self._endpoint, self._region)
                if known is None:
                    raise
                raise known from None
            except (HTTPClientError, ConnectionError) as error:
                raise _unreachable(error, self._control, self._endpoint, operation) from error
        if not answer:
            raise self.unreadable()
        return answer

    def attempt(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call, and note that it is not allowed instead of raising it: the rest of the walk may still be enough."""
        if not all(arguments.values()):
            return {}
        try:
            return self.call(operation, **arguments)
        except SagewireError as error:
            if _is_passing(error):
                raise
            self.failures.append(str(error))
            return {}

    def tags(self, arn: str | None) -> dict[str, str]:
        # Few containers are told by their tags, so that a call need not fail for them.
        if self.passing:
            return {}
        try:
            return {tag["Key"]: tag["Value"] for tag in self.pages("list_tags", "Tags", ResourceArn=arn)}
        except (SagewireError, *_OTHER_SHAPES) as error:
            self.failures.append(str(error if isinstance(error, SagewireError) else self.unreadable()))
            self.passing = True
            return {}

    def pages(self, operation: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
        """Return what a listing has on all its pages."""
        found: list[dict[str, Any]] = []
        token = None
        answer = self.attempt(operation, **arguments)
        for _ in range(_MAX_PAGES):
            found += answer.get(key) or ()
            before, token = token, answer.get("NextToken")
            if not token or token == before:
                break
            answer = self.attempt(operation, **arguments, NextToken=token)
        return found

    def unreadable(self) -> EndpointError:
        """Return the error for an answer that is not one."""
        return EndpointError(
            f"SageMaker's control plane described '{self._endpoint}' in a form that cannot be read; check that "
            f"{self._control.meta.endpoint_url} is SageMaker's, {_or_name_it(self._endpoint)}",
            code=UNREADABLE,
            retry_safe=True,
        )

    @property
    def _region(self) -> str:
        return str(self._control.meta.region_name)


def _with_model(walk: _Walk, found: Description, name: str, tags: dict[str, str]) -> tuple[Description, dict[str, str]]:
    model = walk.attempt("describe_model", ModelName=name)
    if not model:
        return found, tags
    listed = model.get("Containers") or [model["PrimaryContainer"]]
    containers = tuple(_container(walk, item) for item in listed)
    direct = (model.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct"
    return replace(found, containers=containers or found.containers, direct=direct), walk.tags(
        model.get("ModelArn")
    ) | tags


def _with_component(
    walk: _Walk, found: Description, wanted: str | None, tags: dict[str, str]
) -> tuple[Description, dict[str, str]]:
    name = wanted
    if name is None:
        listed = walk.pages("list_inference_components", "InferenceComponents", EndpointNameEquals=found.endpoint)
        names = tuple(item["InferenceComponentName"] for item in listed)
        found = replace(found, components=names)
        if len(names) != 1:
            return found, tags
        name = names[0]
    told = walk.call("describe_inference_component", InferenceComponentName=name)
    specification = told.get("Specification") or (told.get("Specifications") or [{}])[0]
    found = replace(
        found,
        inference_component=name,
        copies=(told.get("RuntimeConfig") or {}).get("CurrentCopyCount"),
        status=found.status
        if told.get("InferenceComponentStatus", READY) == READY
        else told["InferenceComponentStatus"],
    )
    tags = walk.tags(told.get("InferenceComponentArn")) | tags
    if base := specification.get("BaseInferenceComponentName"):
        # An adapter uses the request format of the component that it adapts.
        adapted, tags = _with_component(walk, found, base, tags)
        return replace(adapted, inference_component=name), tags
    if specification.get("ModelName"):
        return _with_model(walk, found, specification["ModelName"], tags)
    if specification.get("Container"):
        return replace(found, containers=(_container(walk, specification["Container"]),)), tags
    return found, tags


def _container(walk: _Walk, told: Mapping[str, Any]) -> Container:
    source = (told.get("ModelDataSource") or {}).get("S3DataSource") or {}
    container = Container(
        # In Describe answers of components the image sits under DeployedImage, elsewhere under Image.
        image=str(told.get("Image") or _image(told.get("DeployedImage") or {})),
        environment=_texts(told.get("Environment")),
        hostname=told.get("ContainerHostname"),
        multi_model=told.get("Mode") == "MultiModel",
        model_package=told.get("ModelPackageName"),
        model_data=told.get("ModelDataUrl") or source.get("S3Uri") or told.get("ArtifactUrl"),
    )
    if container.model_package and not container.image:
        package = walk.attempt("describe_model_package", ModelPackageName=container.model_package)
        inside = ((package.get("InferenceSpecification") or {}).get("Containers") or [{}])[0]
        environment = {**_texts(inside.get("Environment")), **container.environment}
        return replace(container, image=str(inside.get("Image") or ""), environment=environment)
    return container


def _texts(told: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in (told or {}).items()}


def _image(deployed: Mapping[str, Any]) -> str:
    # The resolved form ends in a digest; only the specified one has the tag with the versions.
    return deployed.get("SpecifiedImage") or deployed.get("ResolvedImage") or ""


def _translate(
    error: Any, operation: str, arguments: Mapping[str, Any], endpoint: str, region: str
) -> SagewireError | None:
    told = error.response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))
    meta = error.response.get("ResponseMetadata", {})
    facts: dict[str, Any] = {"code": code, "status": meta.get("HTTPStatusCode"), "request_id": meta.get("RequestId")}
    action = "sagemaker:" + "".join(word.capitalize() for word in operation.split("_"))
    name = next(iter(arguments.values()), "")
    if "Could not find" in message or code in {"ResourceNotFound", "ResourceNotFoundException"}:
        cure = f" (check the name, region and account: `sagewire doctor {name}`)" if "EndpointName" in arguments else ""
        text = f"'{name}' was not found in region {region}{cure}: {message}"
        return EndpointNotFound(text, fault="client", **facts)
    if code.startswith("Throttl") or code == "RequestLimitExceeded":
        text = f"{action} is asked too often: {message}; try again later, {_or_name_it(endpoint)}"
        return Throttled(text, fault="client", retry_safe=True, **facts)
    if "AccessDenied" in code or "Unauthorized" in code:
        cure = f"Allow {action}, or name the handler yourself: Client('{endpoint}', handler='...')"
        return AccessDenied(f"{action} is not allowed: {message}. {cure}", fault="client", **facts)
    return None


def _is_passing(error: SagewireError) -> bool:
    """Return whether a step may succeed the next time."""
    return isinstance(error, CredentialsExpired) or (isinstance(error, EndpointError) and error.retry_safe)


def _or_name_it(endpoint: str) -> str:
    return f"or name the handler, which skips the look-up: Client('{endpoint}', handler='...')"


def _unreachable(error: Exception | str, control: Any, endpoint: str, operation: str) -> EndpointError:
    action = "sagemaker:" + "".join(word.capitalize() for word in operation.split("_"))
    needed = f"the interface VPC endpoint com.amazonaws.{control.meta.region_name}.sagemaker.api and {action}"
    return EndpointError(
        f"SageMaker's control plane could not describe '{endpoint}': {error}. A subnet without internet access "
        f"needs {needed}, {_or_name_it(endpoint)}",
        code=UNREACHABLE,
        retry_safe=True,
    )


def first_tag(tags: Mapping[str, str], names: Iterable[str]) -> str | None:
    """Return the value of the first of `names` that is among the tags."""
    return next((tags[name] for name in names if tags.get(name)), None)
