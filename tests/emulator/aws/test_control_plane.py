"""What boto3 learns about an endpoint."""

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from sagewire import Client
from sagewire.emulator import DIALECTS, EndpointSpec
from sagewire.errors import CredentialsExpired

from ..conftest import client_of

ENDPOINTS = {name.replace("_", "-"): name for name in DIALECTS}


@pytest.fixture(scope="module")
def emulator(make_judge):
    special = {
        "failed": EndpointSpec("tgi", status="Failed"),
        "creating": EndpointSpec("tgi", status="Creating"),
        "batch": EndpointSpec("tgi", asynchronous="s3://bucket/answers"),
        "models": EndpointSpec("hf_pipeline", models=["a.tar.gz"]),
        "own": EndpointSpec(
            "tgi", image="1.dkr.ecr.x.amazonaws.com/mine:1", environment={"HF_TASK": "x", "SM_NUM_GPUS": ""}
        ),
        "parts": EndpointSpec(components={"base": "lmi:echo", "lora": EndpointSpec(base="base", copies=0)}),
        "theirs": EndpointSpec("tgi", account="444455556666"),
        "tagged": EndpointSpec("jumpstart_dialog", tags={"team": "blue"}),
    }
    return make_judge(ENDPOINTS | special, region="eu-central-1").emulator


@pytest.fixture(scope="module")
def sagemaker(emulator):
    return client_of(emulator, "sagemaker")


def walk(sagemaker, name):
    """Return an endpoint's description and its model's container."""
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    return endpoint, model["PrimaryContainer"]


@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_container_is_described(sagemaker, name):
    endpoint, container = walk(sagemaker, name)
    assert endpoint["EndpointStatus"] == "InService"
    variant = endpoint["ProductionVariants"][0]
    if "ModelPackageName" in container:
        package = sagemaker.describe_model_package(ModelPackageName=container["ModelPackageName"])
        assert package["InferenceSpecification"]["SupportedContentTypes"] == ["application/json"]
        assert "DeployedImages" not in variant
    else:
        image = container["Image"]
        assert ".dkr.ecr.eu-central-1.amazonaws.com/" in image
        assert variant["DeployedImages"][0]["SpecifiedImage"] == image
        assert variant["DeployedImages"][0]["ResolvedImage"].startswith(image.rpartition(":")[0] + "@sha256:")
        assert "{" not in "".join([image, *container["Environment"].values()])


def test_a_specification_shows(sagemaker):
    _, container = walk(sagemaker, "own")
    assert container["Image"] == "1.dkr.ecr.x.amazonaws.com/mine:1"
    assert container["Environment"]["HF_TASK"] == "x"
    assert "SM_NUM_GPUS" not in container["Environment"]
    assert walk(sagemaker, "models")[1]["Mode"] == "MultiModel"
    output = walk(sagemaker, "batch")[0]["AsyncInferenceConfig"]["OutputConfig"]
    assert output["S3OutputPath"] == "s3://bucket/answers"


def test_a_status_is_told(sagemaker):
    failed = sagemaker.describe_endpoint(EndpointName="failed")
    assert (failed["EndpointStatus"], "health check" in failed["FailureReason"]) == ("Failed", True)
    creating = sagemaker.describe_endpoint(EndpointName="creating")
    assert creating["EndpointStatus"] == "Creating"
    assert "ProductionVariants" not in creating
    names = [found["EndpointName"] for found in sagemaker.list_endpoints(StatusEquals="Failed")["Endpoints"]]
    assert names == ["failed"]


def test_components_are_listed_and_described(sagemaker):
    config = sagemaker.describe_endpoint_config(EndpointConfigName="parts-config")
    assert "ModelName" not in config["ProductionVariants"][0]
    listed = sagemaker.list_inference_components(EndpointNameEquals="parts")["InferenceComponents"]
    assert sorted(found["InferenceComponentName"] for found in listed) == ["base", "lora"]
    base = sagemaker.describe_inference_component(InferenceComponentName="base")
    assert "djl-inference" in base["Specification"]["Container"]["DeployedImage"]["SpecifiedImage"]
    assert base["RuntimeConfig"]["CurrentCopyCount"] == 1
    lora = sagemaker.describe_inference_component(InferenceComponentName="lora")
    assert lora["Specification"]["BaseInferenceComponentName"] == "base"
    assert lora["RuntimeConfig"]["CurrentCopyCount"] == 0


def test_tags_are_those_of_the_tools_and_of_the_user(sagemaker):
    arn = sagemaker.describe_endpoint(EndpointName="tagged")["EndpointArn"]
    tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    assert tags["sagemaker-sdk:jumpstart-model-id"] == "meta-textgeneration-llama-2-7b-f"
    assert tags["team"] == "blue"


@pytest.mark.parametrize("name", ["nobody", "theirs"])
def test_what_is_not_there_or_not_ours_cannot_be_found(sagemaker, name):
    with pytest.raises(
        ClientError, match='Could not find endpoint "arn:aws:sagemaker:eu-central-1:111122223333'
    ) as error:
        sagemaker.describe_endpoint(EndpointName=name)
    assert error.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName=f"{name}-model")
    with pytest.raises(ClientError, match="Could not find inference component"):
        sagemaker.describe_inference_component(InferenceComponentName=name)
    with pytest.raises(ClientError, match="has no operation 'ListTrainingJobs'"):
        sagemaker.list_training_jobs()


@pytest.mark.parametrize(
    ("which", "code"),
    [
        ("expired", "ExpiredTokenException"),
        ("unknown", "UnrecognizedClientException"),
        ("wrong", "InvalidSignatureException"),
    ],
)
def test_a_caller_nobody_knows_is_told_so_in_the_words_of_this_protocol(emulator, which, code):
    credentials = emulator.issue_credentials(seconds=-60) if which == "expired" else emulator.credentials
    if which != "expired":
        name = {"unknown": "access_key", "wrong": "secret_key"}[which]
        credentials = replace(credentials, **{name: "AKIAUNKNOWNUNKNOWN00"})
    with pytest.raises(ClientError) as caught:
        client_of(emulator, "sagemaker", credentials).list_endpoints()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_expired_credentials_are_named_by_a_client_that_asks_what_the_endpoint_speaks(emulator, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.url)
    credentials = emulator.issue_credentials(seconds=-60)
    keys = {"aws_access_key_id": credentials.access_key, "aws_secret_access_key": credentials.secret_key}
    keys |= {"aws_session_token": credentials.session_token, "region_name": emulator.region}
    with Client("tgi", **keys) as client, pytest.raises(CredentialsExpired) as caught:
        client.chat("Hi")
    assert caught.value.code == "ExpiredTokenException"
