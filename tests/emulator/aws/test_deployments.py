"""Deploy and clean-up scripts on the emulator's control plane, and its lists, judged by boto3."""

import datetime
import time

import pytest
from botocore.exceptions import ClientError

from sagewire import Client
from sagewire.emulator import Emulator, EndpointSpec

from ..conftest import client_of

ROLE = "arn:aws:iam::111122223333:role/any"


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def emulator(clock, monkeypatch):
    endpoints = {f"e{number:02d}": "openai_chat:echo" for number in range(24)}
    endpoints["many"] = EndpointSpec(components={f"c{number:02d}": "tgi:echo" for number in range(15)})
    with Emulator(endpoints, clock=lambda: time.time() + clock[0], deploy_seconds=60.0) as emulator:
        for name, value in emulator.environ().items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
def sagemaker(emulator):
    client = client_of(emulator, "sagemaker")
    yield client
    client.close()


def deploy(sagemaker, image, name="new", model="m", config="c"):
    sagemaker.create_model(ModelName=model, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image})
    variant = {"VariantName": "AllTraffic", "ModelName": model, "InstanceType": "ml.g5.2xlarge"}
    sagemaker.create_endpoint_config(
        EndpointConfigName=config, ProductionVariants=[{**variant, "InitialInstanceCount": 1}]
    )
    return name


def status(sagemaker, name="new"):
    return sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]


def image_of(sagemaker, endpoint="e00"):
    return sagemaker.describe_model(ModelName=f"{endpoint}-model")["PrimaryContainer"]["Image"]


def test_an_endpoint_is_created_called_and_deleted(sagemaker, clock):
    name = deploy(sagemaker, image_of(sagemaker))
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="c")
    assert status(sagemaker) == "Creating"
    clock[0] += 61
    assert status(sagemaker) == "InService"
    assert Client(name).chat("Hello there").text
    sagemaker.delete_endpoint(EndpointName=name)
    assert status(sagemaker) == "Deleting"
    clock[0] += 61
    with pytest.raises(ClientError, match="Could not find endpoint"):
        status(sagemaker)
    sagemaker.delete_endpoint_config(EndpointConfigName="c")
    sagemaker.delete_model(ModelName="m")
    for lists in (sagemaker.list_models(NameContains="m"), sagemaker.list_endpoint_configs(NameContains="c")):
        names = [
            next(value for key, value in item.items() if key.endswith("Name")) for item in next(iter(lists.values()))
        ]
        assert not {"m", "c"} & set(names)


def test_an_image_of_no_known_container_fails(sagemaker, clock):
    name = deploy(sagemaker, "111122223333.dkr.ecr.us-east-1.amazonaws.com/mine:1")
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="c")
    clock[0] += 61
    told = sagemaker.describe_endpoint(EndpointName=name)
    assert (told["EndpointStatus"], "health check" in told["FailureReason"]) == ("Failed", True)


def test_an_update_replaces_or_rolls_back(sagemaker, clock):
    deploy(sagemaker, image_of(sagemaker))
    sagemaker.update_endpoint(EndpointName="e01", EndpointConfigName="c")
    assert status(sagemaker, "e01") == "Updating"
    clock[0] += 61
    told = sagemaker.describe_endpoint(EndpointName="e01")
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", "c")
    deploy(sagemaker, "somewhere/else:1", model="other", config="broken")
    sagemaker.update_endpoint(EndpointName="e01", EndpointConfigName="broken")
    seen = []
    for _ in range(3):
        seen.append(status(sagemaker, "e01"))
        clock[0] += 61
    assert seen == ["Updating", "RollingBack", "InService"]
    assert sagemaker.describe_endpoint(EndpointName="e01")["EndpointConfigName"] == "c"


def test_what_does_not_fit_is_refused(sagemaker):
    deploy(sagemaker, image_of(sagemaker))
    for call, words in (
        (lambda: deploy(sagemaker, "x"), "already existing model"),
        (lambda: sagemaker.create_endpoint(EndpointName="e00", EndpointConfigName="c"), "already existing endpoint"),
        (lambda: sagemaker.create_endpoint(EndpointName="other", EndpointConfigName="nope"), "Could not find"),
        (lambda: sagemaker.delete_model(ModelName="nope"), "Could not find model"),
    ):
        with pytest.raises(ClientError, match=words):
            call()


def test_lists_are_paged_sorted_and_filtered(sagemaker):
    first = sagemaker.list_endpoints()
    assert (len(first["Endpoints"]), "NextToken" in first) == (10, True)
    pages = sagemaker.get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 4})
    assert [len(page["Endpoints"]) for page in pages] == [4, 4, 4, 4, 4, 4, 1]
    by_name = sagemaker.list_endpoints(SortBy="Name", SortOrder="Ascending", MaxResults=2)["Endpoints"]
    assert [found["EndpointName"] for found in by_name] == ["e00", "e01"]
    later = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
    assert sagemaker.list_endpoints(CreationTimeAfter=later)["Endpoints"] == []
    assert len(sagemaker.list_inference_components()["InferenceComponents"]) == 10
    named = sagemaker.list_inference_components(NameContains="C03")["InferenceComponents"]
    assert [found["InferenceComponentName"] for found in named] == ["c03"]
    assert sagemaker.list_inference_components(StatusEquals="Failed")["InferenceComponents"] == []
    assert len(sagemaker.list_models(MaxResults=100)["Models"]) == 24
    assert len(sagemaker.list_endpoint_configs(MaxResults=100)["EndpointConfigs"]) == 25
    with pytest.raises(ClientError, match="NextToken"):
        sagemaker.list_endpoints(NextToken="nonsense")


def test_sixty_seconds_end_a_whole_answer_and_four_megabytes_a_serverless_one(emulator):
    emulator.add("slow", EndpointSpec("tgi", "echo", latency=90.0))
    emulator.add("serverless", EndpointSpec("tgi", "echo", serverless=True))
    runtime = client_of(emulator)
    with pytest.raises(ClientError, match="oversize body"):
        runtime.invoke_endpoint(
            EndpointName="serverless", Body=b" " * 4_200_000 + b"{}", ContentType="application/json"
        )
    told = client_of(emulator, "sagemaker").describe_endpoint_config(EndpointConfigName="serverless-config")
    assert "ServerlessConfig" in told["ProductionVariants"][0]
    runtime.close()
    # As a value, so that nobody waits for it.
    service = emulator.service
    request = service_request(b'{"inputs": "hi"}')
    answer = service.runtime.invoke(request, "slow", service.identities.user, stream=False)
    assert (answer.status, answer.delay) == (424, 60.0)
    assert b"timed out while waiting" in answer.data


def service_request(body):
    from sagewire.emulator.http_values import Request

    return Request("POST", "/endpoints/slow/invocations", {"content-type": "application/json"}, body)
