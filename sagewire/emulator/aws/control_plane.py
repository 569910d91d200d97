"""SageMaker's control plane: Describe, List and tags of what runs; Create, Update and Delete of endpoints."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from sagewire.emulator.aws.deployments import UNHEALTHY, Deployments, dialect_of_image
from sagewire.emulator.aws.identity import Credentials, Identities, IdentityError
from sagewire.emulator.aws.listing import page
from sagewire.emulator.endpoints import Endpoint, EndpointSpec, Running, find_endpoint
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
        identities: The callers that are allowed.
        region: The region it pretends to be in.
        deployments: The endpoints that callers create and delete.
    """

    def __init__(
        self, endpoints: Mapping[str, Endpoint], identities: Identities, region: str, deployments: Deployments
    ) -> None:
        self._endpoints = endpoints
        self._deployments = deployments
        self._identities = identities
        self._region = region
        self._operations: dict[str, Callable[[JSON, Credentials], JSON]] = {
            "CreateEndpoint": self._create_endpoint,
            "CreateEndpointConfig": self._create_config,
            "CreateModel": self._create_model,
            "DeleteEndpoint": self._delete_endpoint,
            "DeleteEndpointConfig": self._delete_config,
            "DeleteModel": self._delete_model,
            "DescribeEndpoint": self._describe_endpoint,
            "DescribeEndpointConfig": self._describe_config,
            "DescribeInferenceComponent": self._describe_component,
            "DescribeModel": self._describe_model,
            "DescribeModelPackage": self._describe_package,
            "ListEndpointConfigs": self._list_configs,
            "ListEndpoints": self._list_endpoints,
            "ListInferenceComponents": self._list_components,
            "ListModels": self._list_models,
            "ListTags": self._list_tags,
            "UpdateEndpoint": self._update_endpoint,
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
        """Answer an unknown caller: this protocol has the code in the body, and 400 for all of them."""
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
            "EndpointConfigName": endpoint.config_name,
            "EndpointStatus": endpoint.status,
            "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.created,
        }
        if endpoint.status != "Creating":
            document["ProductionVariants"] = [variant]
        if endpoint.status == "Failed" or endpoint.failure is not None:
            document["FailureReason"] = UNHEALTHY
        return document | self._asynchronous(endpoint)

    def _asynchronous(self, endpoint: Endpoint) -> JSON:
        target = endpoint.spec.asynchronous
        if target is None:
            return {}
        failures = {"S3FailurePath": endpoint.spec.failures} if endpoint.spec.failures else {}
        return {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": target, **failures}}}

    def _image(self, running: Running) -> str:
        return (running.spec.image or running.dialect.image).replace("{region}", self._region)

    def _describe_config(self, asked: JSON, caller: Credentials) -> JSON:
        name = _name(asked, "EndpointConfigName")
        if (made := self._deployments.configs.get((caller.account, name))) is not None:
            return {**made, "EndpointConfigArn": self._arn(caller.account, "endpoint-config", name)}
        endpoint = self._owner(name, "-config", "endpoint configuration", "endpoint-config", caller)
        variant: JSON = {"VariantName": VARIANT, "InitialVariantWeight": 1.0}
        if endpoint.spec.serverless:
            variant["ServerlessConfig"] = {"MemorySizeInMB": 4096, "MaxConcurrency": 20}
        else:
            variant |= {"InitialInstanceCount": 1, "InstanceType": endpoint.spec.instance_type}
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
        if (caller.account, name) in self._deployments.deleted:
            endpoint = None
        if endpoint is None or endpoint.account != caller.account:
            raise _missing(what, self._arn(caller.account, kind, name))
        return endpoint

    def _describe_model(self, asked: JSON, caller: Credentials) -> JSON:
        name = _name(asked, "ModelName")
        if (made := self._deployments.models.get((caller.account, name))) is not None:
            return {**made, "ModelArn": self._arn(caller.account, "model", name)}
        endpoint = self._owner(name, "-model", "model", "model", caller)
        if endpoint.main is None:
            raise _missing("model", self._arn(caller.account, "model", name))
        running = endpoint.main
        container: JSON = {"Mode": "MultiModel" if endpoint.spec.models else "SingleModel"}
        if running.dialect.model_package:
            container["ModelPackageName"] = self._package_arn(running)
        else:
            container |= {"Image": self._image(running), "Environment": dict(running.container.environment)}
        data = "s3://emulator/models/" if endpoint.spec.models else endpoint.spec.model_data
        if data and (endpoint.spec.models or data.endswith(".tar.gz")):
            container["ModelDataUrl"] = data
        elif data:
            source = {"S3Uri": data, "S3DataType": "S3Prefix", "CompressionType": "None"}
            container["ModelDataSource"] = {"S3DataSource": source}
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

    def _own(self, caller: Credentials) -> list[Endpoint]:
        return [endpoint for endpoint in self._endpoints.values() if endpoint.account == caller.account]

    def _list_endpoints(self, asked: JSON, caller: Credentials) -> JSON:
        found = [
            {
                "EndpointName": endpoint.name,
                "EndpointArn": self._arn(endpoint.account, "endpoint", endpoint.name),
                "CreationTime": endpoint.created,
                "LastModifiedTime": endpoint.created,
                "EndpointStatus": endpoint.status,
            }
            for endpoint in self._own(caller)
        ]
        return page(found, asked, key="Endpoints", name="EndpointName", status="EndpointStatus")

    def _list_components(self, asked: JSON, caller: Credentials) -> JSON:
        wanted, variant = asked.get("EndpointNameEquals"), asked.get("VariantNameEquals")
        if wanted is not None:
            self._find(wanted, caller)
        found = [
            self._component(endpoint, name)
            for endpoint in self._own(caller)
            if wanted in (None, endpoint.name) and variant in (None, VARIANT)
            for name in endpoint.components
        ]
        named = {"key": "InferenceComponents", "name": "InferenceComponentName", "status": "InferenceComponentStatus"}
        return page(found, asked, **named)

    def _list_configs(self, asked: JSON, caller: Credentials) -> JSON:
        return self._list_made("EndpointConfig", "endpoint-config", "-config", self._deployments.configs, asked, caller)

    def _list_models(self, asked: JSON, caller: Credentials) -> JSON:
        return self._list_made("Model", "model", "-model", self._deployments.models, asked, caller)

    def _list_made(
        self, kind: str, arn: str, ending: str, made: Mapping[tuple[str, str], JSON], asked: JSON, caller: Credentials
    ) -> JSON:
        """List what came with the endpoints and was not deleted, and what callers made."""
        times = {
            f"{endpoint.name}{ending}": endpoint.created
            for endpoint in self._own(caller)
            if (kind != "Model" or endpoint.main is not None) and endpoint.config_name == f"{endpoint.name}-config"
        }
        times = {name: when for name, when in times.items() if (caller.account, name) not in self._deployments.deleted}
        times |= {name: one["CreationTime"] for (account, name), one in made.items() if account == caller.account}
        found = [
            {f"{kind}Name": name, f"{kind}Arn": self._arn(caller.account, arn, name), "CreationTime": when}
            for name, when in times.items()
        ]
        return page(found, asked, key=f"{kind}s", name=f"{kind}Name")

    def _create_model(self, asked: JSON, caller: Credentials) -> JSON:
        name = self._deployments.create_model(asked, caller.account)
        return {"ModelArn": self._arn(caller.account, "model", name)}

    def _create_config(self, asked: JSON, caller: Credentials) -> JSON:
        name = self._deployments.create_config(asked, caller.account, lambda model: self._has_model(model, caller))
        return {"EndpointConfigArn": self._arn(caller.account, "endpoint-config", name)}

    def _has_model(self, name: str, caller: Credentials) -> bool:
        try:
            self._describe_model({"ModelName": name}, caller)
        except Refused:
            return False
        return True

    def _create_endpoint(self, asked: JSON, caller: Credentials) -> JSON:
        config = _name(asked, "EndpointConfigName")
        spec = self._specification_of(config, caller)
        name = self._deployments.create_endpoint(asked, caller.account, spec, config)
        return {"EndpointArn": self._arn(caller.account, "endpoint", name)}

    def _update_endpoint(self, asked: JSON, caller: Credentials) -> JSON:
        endpoint = self._find(_name(asked, "EndpointName"), caller)
        config = _name(asked, "EndpointConfigName")
        self._deployments.update_endpoint(endpoint, self._specification_of(config, caller), config)
        return {"EndpointArn": self._arn(caller.account, "endpoint", endpoint.name)}

    def _specification_of(self, config: str, caller: Credentials) -> EndpointSpec | None:
        """Return what a configuration runs; `None` if its image is of no container the emulator has."""
        told = self._describe_config({"EndpointConfigName": config}, caller)
        variant = told["ProductionVariants"][0]
        model = self._describe_model({"ModelName": variant.get("ModelName", "")}, caller)["PrimaryContainer"]
        environment = model.get("Environment") or {}
        dialect = dialect_of_image(model.get("Image", ""), environment)
        if dialect is None:
            return None
        output = told.get("AsyncInferenceConfig", {}).get("OutputConfig", {})
        return EndpointSpec(
            dialect,
            "schema",
            caller.account,
            environment=environment,
            image=model["Image"],
            asynchronous=output.get("S3OutputPath"),
            failure_path=output.get("S3FailurePath", ""),
            serverless="ServerlessConfig" in variant,
            instance_type=variant.get("InstanceType", "ml.g5.2xlarge"),
        )

    def _delete_endpoint(self, asked: JSON, caller: Credentials) -> JSON:
        self._deployments.delete_endpoint(self._find(_name(asked, "EndpointName"), caller))
        return {}

    def _delete_config(self, asked: JSON, caller: Credentials) -> JSON:
        name = _name(asked, "EndpointConfigName")
        self._describe_config(asked, caller)
        self._deployments.configs.pop((caller.account, name), None)
        self._deployments.deleted.add((caller.account, name))
        return {}

    def _delete_model(self, asked: JSON, caller: Credentials) -> JSON:
        name = _name(asked, "ModelName")
        self._describe_model(asked, caller)
        self._deployments.models.pop((caller.account, name), None)
        self._deployments.deleted.add((caller.account, name))
        return {}

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
