"""Reading an endpoint's configuration from SageMaker's control plane: `describe` waits, `detect` then decides.

The walk is DescribeEndpoint, DescribeEndpointConfig, DescribeModel (or the inference component, or the model package)
and ListTags; wherever it can stop early it does. The environment of a container may hold secrets, so it never appears
in a repr and only a few known keys are ever shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sagewire._short_repr import ShortRepr
from sagewire.aws.lookup_errors import credential_errors
from sagewire.errors import AccessDenied, EndpointError, EndpointNotFound, NotReady, SagewireError

__all__ = ["UNREACHABLE", "Container", "Description", "describe"]

READY = "InService"
# States in which an endpoint answers: an update keeps the old version in service, and where the way back failed as
# well, a mix of both is (DescribeEndpoint, EndpointStatus).
SERVING = {READY, "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"}

UNREACHABLE = "control_plane_unreachable"
"""The code of the error for a control plane that cannot be reached."""

_DOING = "looking up the endpoint's container"
# Pages of a hundred each: more than any account has.
_MAX_PAGES = 100

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
        components: All components of the endpoint.
        copies: Running copies of the component; 0 is scaled to zero.
        asynchronous: Takes InvokeEndpointAsync only.
        serverless: Runs on serverless inference.
        instance_type: For example `ml.g5.2xlarge`.
        incomplete: What could not be read, and why.
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
        EndpointError: The control plane failed otherwise.
    """
    walk = _Walk(control, endpoint)
    told = walk.call("describe_endpoint", EndpointName=endpoint)
    deployed = _variant(told, variant)
    found = Description(
        endpoint=endpoint,
        status=told.get("EndpointStatus", "Unknown"),
        asynchronous=bool(told.get("AsyncInferenceConfig")),
        containers=tuple(Container(image=_image(image)) for image in deployed.get("DeployedImages") or ()),
    )
    config = walk.attempt("describe_endpoint_config", EndpointConfigName=told.get("EndpointConfigName"))
    configured = _variant(config, variant)
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
    return replace(found, tags=tags, incomplete=tuple(walk.failures))


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
        self.failures: list[str] = []

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

        with credential_errors(_DOING):
            try:
                answer: dict[str, Any] = getattr(self._control, operation)(**arguments)
            except ClientError as error:
                known = _translate(error, operation, arguments, self._region)
                if known is None:
                    raise
                raise known from None
            except (HTTPClientError, ConnectionError) as error:
                raise _unreachable(error, self._control, self._endpoint, operation) from error
        return answer

    def attempt(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call, and note the failure instead of raising it: the rest of the walk may still be enough."""
        if not all(arguments.values()):
            return {}
        try:
            return self.call(operation, **arguments)
        except SagewireError as error:
            self.failures.append(str(error))
            return {}

    def tags(self, arn: str | None) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.pages("list_tags", "Tags", ResourceArn=arn)}

    def pages(self, operation: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
        """Return what a listing has on all its pages."""
        found: list[dict[str, Any]] = []
        answer = self.attempt(operation, **arguments)
        for _ in range(_MAX_PAGES):
            found += answer.get(key) or ()
            token = answer.get("NextToken")
            if not token:
                break
            answer = self.attempt(operation, **arguments, NextToken=token)
        return found

    @property
    def _region(self) -> str:
        return str(self._control.meta.region_name)


def _with_model(walk: _Walk, found: Description, name: str, tags: dict[str, str]) -> tuple[Description, dict[str, str]]:
    model = walk.attempt("describe_model", ModelName=name)
    if not model:
        return found, tags
    primary = model.get("PrimaryContainer")
    listed = model.get("Containers") or ([primary] if primary else [])
    containers = tuple(_container(walk, item) for item in listed)
    direct = (model.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct"
    return replace(found, containers=containers or found.containers, direct=direct), walk.tags(
        model.get("ModelArn")
    ) | tags


def _with_component(
    walk: _Walk, found: Description, wanted: str | None, tags: dict[str, str]
) -> tuple[Description, dict[str, str]]:
    listed = walk.pages("list_inference_components", "InferenceComponents", EndpointNameEquals=found.endpoint)
    names = tuple(item["InferenceComponentName"] for item in listed)
    found = replace(found, components=names)
    if wanted is None and len(names) != 1:
        return found, tags
    name = wanted or names[0]
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
        image=told.get("Image") or _image(told.get("DeployedImage") or {}),
        environment=told.get("Environment") or {},
        hostname=told.get("ContainerHostname"),
        multi_model=told.get("Mode") == "MultiModel",
        model_package=told.get("ModelPackageName"),
        model_data=told.get("ModelDataUrl") or source.get("S3Uri") or told.get("ArtifactUrl"),
    )
    if container.model_package and not container.image:
        package = walk.attempt("describe_model_package", ModelPackageName=container.model_package)
        inside = ((package.get("InferenceSpecification") or {}).get("Containers") or [{}])[0]
        environment = {**(inside.get("Environment") or {}), **container.environment}
        return replace(container, image=inside.get("Image") or "", environment=environment)
    return container


def _image(deployed: Mapping[str, Any]) -> str:
    # The resolved form ends in a digest; only the specified one has the tag with the versions.
    return deployed.get("SpecifiedImage") or deployed.get("ResolvedImage") or ""


def _translate(error: Any, operation: str, arguments: Mapping[str, Any], region: str) -> SagewireError | None:
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
    if "AccessDenied" in code or "Unauthorized" in code:
        cure = f"Allow {action}, or name the handler yourself: Client('{name}', handler='...')"
        return AccessDenied(f"{action} is not allowed: {message}. {cure}", fault="client", **facts)
    return None


def _unreachable(error: Exception, control: Any, endpoint: str, operation: str) -> EndpointError:
    action = "sagemaker:" + "".join(word.capitalize() for word in operation.split("_"))
    needed = f"the interface VPC endpoint com.amazonaws.{control.meta.region_name}.sagemaker.api and {action}"
    return EndpointError(
        f"SageMaker's control plane could not describe '{endpoint}': {error}. A subnet without internet access "
        f"needs {needed}. Or name the handler, which skips the look-up: Client('{endpoint}', handler='...')",
        code=UNREACHABLE,
        retry_safe=True,
    )


def first_tag(tags: Mapping[str, str], names: Iterable[str]) -> str | None:
    """Return the value of the first of `names` that is among the tags."""
    return next((tags[name] for name in names if tags.get(name)), None)
