"""What the SageMaker Python SDK 3 does on the emulator, and sagewire's clients with the objects it hands out."""

import json
import os

import boto3
from results import refused, report, step
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

from sagewire import Client

ASK = json.dumps({"messages": [{"role": "user", "content": "Hello there"}]})

# With a bucket the SDK does not ask STS, which it looks for at its public address only.
session = Session(default_bucket="sdk-3")

with step("whole"):
    chat = Endpoint.get("chat")
    answer = json.loads(chat.invoke(body=ASK, content_type="application/json").body.read())
    assert answer["choices"][0]["message"]["content"] == "Hello there"

with step("errors"):
    with refused("ModelError") as response:
        chat.invoke(body='{"messages": []}', content_type="application/json")
    assert response["OriginalStatusCode"] == 400
    with refused("ValidationException"):
        Endpoint.get("nobody")

with step("lists"):
    listed = Endpoint.get_all(name_contains="e0", sort_by="Name", sort_order="Ascending")
    assert [one.endpoint_name for one in listed] == [f"e{number:02d}" for number in range(10)]

with step("deploy"):
    image = boto3.client("sagemaker").describe_model(ModelName="e00-model")["PrimaryContainer"]["Image"]
    container = ContainerDefinition(image=image)
    model = Model.create(
        model_name="sdk-3", primary_container=container, execution_role_arn=os.environ["EMULATOR_ROLE"]
    )
    variant = ProductionVariant(
        variant_name="AllTraffic", model_name="sdk-3", initial_instance_count=1, instance_type="ml.g5.2xlarge"
    )
    config = EndpointConfig.create(endpoint_config_name="sdk-3", production_variants=[variant])
    deployed = Endpoint.create(endpoint_name="sdk-3", endpoint_config_name=config)
    deployed.wait_for_status("InService", poll=1)
    assert deployed.invoke(body='{"inputs": "Hi"}', content_type="application/json").body.read()

with step("sagewire"):
    assert Client(deployed).complete("Hello").text
    assert Client(chat).chat("Hello there").text == "Hello there"
    # Its own invoke_with_response_stream cannot read the stream.
    assert "".join(Client(chat).stream("Hello there").text) == "Hello there"
    assert Client("chat", session=session).chat("Hello there").text == "Hello there"

with step("clean up"):
    deployed.delete()
    deployed.wait_for_delete(poll=1)
    config.delete()
    model.delete()
    with refused("ValidationException"):
        Endpoint.get("sdk-3")

with step("files"):
    place = session.upload_data(__file__, key_prefix="code")
    assert boto3.client("s3").list_objects_v2(Bucket="sdk-3")["Contents"][0]["Key"] in place

report()
