"""The part of SageMaker's control plane that tells what an endpoint runs: Describe, List, and tags."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from sagewire.emulator.aws.identity import Credentials, Identities, IdentityError
from sagewire.emulator.endpoints import Endpoint, Running, find_endpoint
from sagewire.emulator.faults import Refused
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["ControlPlane"]

JSON = dict[str, Any]
TARGET = "SageMaker."
VARIANT = "AllTraffic"
# The account SageMaker's marketplace packages of JumpStart live in (us-east-1).
PACKAGE_ACCOUNT = "865070037744"


class ControlPlane:
    """The control plane over a set of endpoints.

    Args:
        endpoints: By name.
        identities: Who may ask.
        region: The region it pretends to be in.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], identities: Identities, region: str) -> None:
        self._endpoints = endpoints
        self._identities = identities
        self._region = region
        self._operations: dict[str, Callable[[JSON, Credentials], JSON]] = {
            "DescribeEndpoint": self._describe_endpoint,
            "DescribeEndpointConfig": self._describe_config,
            "DescribeInferenceComponent": self._describe_component,
            "DescribeModel": self._describe_model,
            "DescribeModelPackage": self._describe_package,
            "ListEndpoints": self._list_endpoints,
            "ListInferenceComponents": self._list_components,
            "ListTags": self._list_tags,
        }

    def handle(self, request: Request, caller: Credentials) -> Response:
        """Answer one request of the JSON 1.1 protocol."""
        name = request.headers.get("x-amz-target", "").removeprefix(TARGET)
        try:
            operation = self._operations.get(name)
            if operation is None:
                raise Refused(
                    "UnknownOperationException", 400, f"the emulator's control plane has no operation {name!r}"
                )
            if not self._identities.may_describe(caller):
                text = f"User: {caller.arn} is not authorized to perform: sagemaker:{name}"
                raise Refused("AccessDeniedException", 400, text)
            return self._json(200, operation(_document(request), caller))
        except Refused as refused:
            return self._json(refused.status, {"__type": refused.code, "message": refused.message})

    def refuse(self, error: IdentityError) -> Response:
        """Answer a request of nobody known: this protocol has the code in the body, and 400 for all of them."""
        return self._json(400, {"__type": error.code, "message": error.message})

    def _json(self, status: int, document: JSON) -> Response:
        response = json_response(status, document)
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid.uuid4())}
        return replace(response, headers=headers)

    def _arn(self, account: str, kind: str, name: str) -> str:
        return f"arn:aws:sagemaker:{self._region}:{account}:{kind}/{name}"

    def _find(self, name: str, caller: Credentials) -> Endpoint:
        endpoint, _ = find_endpoint(self._endpoints, name)
        if endpoint is None or endpoint.account != caller.account:
            raise _missing("endpoint", self._arn(caller.account, "endpoint", name))
        return endpoint

    def _describe_endpoint(self, asked: JSON, caller: Credentials) -> JSON:
        endpoint = self._find(_name(asked, "EndpointName"), caller)
        spec = endpoint.spec
        variant: JSON = {
            "VariantName": VARIANT,
            "CurrentWeight": 1.0,
            "DesiredWeight": 1.0,
            "CurrentInstanceCount": 1 if spec.copies or spec.components else 0,
            "DesiredInstanceCount": 1 if spec.copies or spec.components else 0,
        }
        if endpoint.main is not None and not endpoint.main.dialect.model_package:
            image = self._image(endpoint.main)
            resolved = f"{image.partition(':')[0]}@sha256:{'0' * 64}"
            variant["DeployedImages"] = [
                {"SpecifiedImage": image, "ResolvedImage": resolved, "ResolutionTime": endpoint.created}
            ]
        document: JSON = {
            "EndpointName": endpoint.name,
            "EndpointArn": self._arn(endpoint.account, "endpoint", endpoint.name),
            "EndpointConfigName": f"{endpoint.name}-config",
            "EndpointStatus": spec.status,
            "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.created,
        }
        if spec.status != "Creating":
            document["ProductionVariants"] = [variant]
        if spec.status == "Failed":
            document["FailureReason"] = (
                "The primary container for production variant AllTraffic did not pass the ping health check. Please "
                "check CloudWatch logs for this endpoint."
            )
        return document | self._asynchronous(endpoint)

    def _asynchronous(self, endpoint: Endpoint) -> JSON:
        target = endpoint.spec.asynchronous
        if target is None:
            return {}
        return {
            "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": target, "S3FailurePath": f"{target}/failures"}}
        }

    def _image(self, running: Running) -> str:
        return (running.spec.image or running.dialect.image).replace("{region}", self._region)

    def _describe_config(self, asked: JSON, caller: Credentials) -> JSON:
        name = _name(asked, "EndpointConfigName")
        endpoint = self._owner(name, "-config", "endpoint configuration", "endpoint-config", caller)
        variant: JSON = {
            "VariantName": VARIANT,
            "InitialInstanceCount": 1,
            "InstanceType": endpoint.spec.instance_type,
            "InitialVariantWeight": 1.0,
        }
        if endpoint.main is not None:
            variant["ModelName"] = f"{endpoint.name}-model"
        return {
            "EndpointConfigName": name,
            "EndpointConfigArn": self._arn(endpoint.account, "endpoint-config", name),
            "ProductionVariants": [variant],
            "CreationTime": endpoint.created,
        } | self._asynchronous(endpoint)

    def _owner(self, name: str, ending: str, what: str, kind: str, caller: Credentials) -> Endpoint:
        endpoint = self._endpoints.get(name.removesuffix(ending)) if name.endswith(ending) else None
        if endpoint is None or endpoint.account != caller.account:
            raise _missing(what, self._arn(caller.account, kind, name))
        return endpoint

    def _describe_model(self, asked: JSON, caller: Credentials) -> JSON:
        name = _name(asked, "ModelName")
        endpoint = self._owner(name, "-model", "model", "model", caller)
        if endpoint.main is None:
            raise _missing("model", self._arn(caller.account, "model", name))
        running = endpoint.main
        container: JSON = {"Mode": "MultiModel" if endpoint.spec.models else "SingleModel"}
        if running.dialect.model_package:
            container["ModelPackageName"] = self._package_arn(running)
        else:
            container |= {"Image": self._image(running), "Environment": dict(running.container.environment)}
        if endpoint.spec.models:
            container["ModelDataUrl"] = "s3://emulator/models/"
        return {
            "ModelName": name,
            "ModelArn": self._arn(endpoint.account, "model", name),
            "PrimaryContainer": container,
            "ExecutionRoleArn": f"arn:aws:iam::{endpoint.account}:role/emulator-execution",
            "CreationTime": endpoint.created,
            "EnableNetworkIsolation": bool(running.dialect.model_package),
        }

    def _package_arn(self, running: Running) -> str:
        return self._arn(PACKAGE_ACCOUNT, "model-package", running.dialect.model_package)

    def _describe_package(self, asked: JSON, caller: Credentials) -> JSON:
        arn = _name(asked, "ModelPackageName")
        for endpoint in self._endpoints.values():
            for running in [*endpoint.components.values(), *([endpoint.main] if endpoint.main else [])]:
                if running.dialect.model_package and self._package_arn(running) == arn:
                    return self._package(running, arn, endpoint)
        raise Refused("ValidationException", 400, f"ModelPackage {arn} does not exist.")

    def _package(self, running: Running, arn: str, endpoint: Endpoint) -> JSON:
        # The image lies in the vendor's account; describing tells no more than its repository.
        image = f"{PACKAGE_ACCOUNT}.dkr.ecr.{self._region}.amazonaws.com/vendor-{running.dialect.model_package}"
        return {
            "ModelPackageName": running.dialect.model_package,
            "ModelPackageArn": arn,
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "CreationTime": endpoint.created,
            "InferenceSpecification": {
                "Containers": [{"Image": image, "Environment": {}}],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        }

    def _list_endpoints(self, asked: JSON, caller: Credentials) -> JSON:
        contains, status = asked.get("NameContains", ""), asked.get("StatusEquals")
        found = [
            {
                "EndpointName": endpoint.name,
                "EndpointArn": self._arn(endpoint.account, "endpoint", endpoint.name),
                "CreationTime": endpoint.created,
                "LastModifiedTime": endpoint.created,
                "EndpointStatus": endpoint.spec.status,
            }
            for endpoint in self._endpoints.values()
            if endpoint.account == caller.account
            and contains in endpoint.name
            and status in (None, endpoint.spec.status)
        ]
        return {"Endpoints": found}

    def _list_components(self, asked: JSON, caller: Credentials) -> JSON:
        wanted = asked.get("EndpointNameEquals")
        if wanted is not None:
            self._find(wanted, caller)
        found = [
            self._component(endpoint, name)
            for endpoint in self._endpoints.values()
            if endpoint.account == caller.account and wanted in (None, endpoint.name)
            for name in endpoint.components
        ]
        return {"InferenceComponents": found}

    def _component(self, endpoint: Endpoint, name: str) -> JSON:
        return {
            "InferenceComponentName": name,
            "InferenceComponentArn": self._arn(endpoint.account, "inference-component", name),
            "EndpointName": endpoint.name,
            "EndpointArn": self._arn(endpoint.account, "endpoint", endpoint.name),
            "VariantName": VARIANT,
            "InferenceComponentStatus": "InService",
            "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.created,
        }

    def _describe_component(self, asked: JSON, caller: Credentials) -> JSON:
        name = _name(asked, "InferenceComponentName")
        for endpoint in self._endpoints.values():
            if endpoint.account == caller.account and name in endpoint.components:
                return self._component(endpoint, name) | self._specification(endpoint.components[name])
        raise _missing("inference component", self._arn(caller.account, "inference-component", name))

    def _specification(self, running: Running) -> JSON:
        spec = running.spec
        if spec.base is not None:
            artifact = {"ArtifactUrl": f"s3://emulator/adapters/{running.container.name}/"}
            inner: JSON = {"BaseInferenceComponentName": spec.base, "Container": artifact}
        else:
            image = self._image(running)
            deployed = {"SpecifiedImage": image, "ResolvedImage": f"{image.partition(':')[0]}@sha256:{'0' * 64}"}
            environment = dict(running.container.environment)
            inner = {
                "Container": {"DeployedImage": deployed, "Environment": environment},
                "ComputeResourceRequirements": {"NumberOfAcceleratorDevicesRequired": 1, "MinMemoryRequiredInMb": 1024},
            }
        counts = {"DesiredCopyCount": spec.copies, "CurrentCopyCount": spec.copies}
        return {"Specification": inner, "RuntimeConfig": counts}

    def _list_tags(self, asked: JSON, caller: Credentials) -> JSON:
        arn = _name(asked, "ResourceArn")
        kind, _, name = arn.rpartition(":")[2].partition("/")
        tags: dict[str, str] = {}
        for endpoint in self._endpoints.values():
            named = name in (endpoint.name, f"{endpoint.name}-config", f"{endpoint.name}-model")
            if endpoint.account == caller.account and named and kind in ("endpoint", "endpoint-config", "model"):
                tags = (dict(endpoint.main.dialect.tags) if endpoint.main else {}) | dict(endpoint.spec.tags)
        return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}


def _document(request: Request) -> JSON:
    try:
        document = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise Refused("SerializationException", 400, "the request body is not a JSON object")
    return document


def _name(asked: JSON, key: str) -> str:
    value = asked.get(key)
    if not isinstance(value, str) or not value:
        raise Refused("ValidationException", 400, f"1 validation error detected: Value at '{key}' must not be null")
    return value


def _missing(what: str, arn: str) -> Refused:
    return Refused("ValidationException", 400, f'Could not find {what} "{arn}".')
