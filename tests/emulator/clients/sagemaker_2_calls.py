"""What the SageMaker Python SDK 2 does on the emulator, and sagewire's clients with the objects it hands out."""

import os

import boto3
from results import refused, report, step
from sagemaker import Session
from sagemaker.async_inference import WaiterConfig
from sagemaker.deserializers import JSONDeserializer
from sagemaker.huggingface import HuggingFaceModel
from sagemaker.predictor import Predictor
from sagemaker.predictor_async import AsyncPredictor
from sagemaker.s3 import S3Downloader
from sagemaker.serializers import JSONSerializer

from sagewire import AsyncInference, Client

ASK = {"messages": [{"role": "user", "content": "Hello there"}]}
FAST = WaiterConfig(max_attempts=60, delay=1)

# With a bucket the SDK does not ask STS, which it looks for at its public address only.
session = Session(default_bucket="sdk-2")


def predictor_of(name):
    return Predictor(name, session, JSONSerializer(), JSONDeserializer())


with step("whole"):
    chat = predictor_of("chat")
    assert chat.predict(ASK)["choices"][0]["message"]["content"] == "Hello there"

with step("stream"):
    assert len(list(chat.predict_stream({**ASK, "stream": True}))) > 2

with step("errors"):
    with refused("ModelError") as response:
        chat.predict({"messages": []})
    assert response["OriginalStatusCode"] == 400
    with refused("ValidationError"):
        predictor_of("nobody").predict(ASK)

with step("later"):
    later = AsyncPredictor(predictor_of("later"))
    assert later.predict({"inputs": "Hi"}, waiter_config=FAST)[0]["generated_text"]
    assert later.predict_async({"inputs": "Hi"}).get_result(FAST)[0]["generated_text"]

with step("deploy"):
    image = boto3.client("sagemaker").describe_model(ModelName="e00-model")["PrimaryContainer"]["Image"]
    model = HuggingFaceModel(
        image_uri=image, env={"HF_MODEL_ID": "a/b"}, role=os.environ["EMULATOR_ROLE"], sagemaker_session=session
    )
    # The SDK's own wait looks for the first time after half a minute.
    deployed = model.deploy(1, "ml.g5.2xlarge", endpoint_name="sdk-2", wait=False)
    boto3.client("sagemaker").get_waiter("endpoint_in_service").wait(EndpointName="sdk-2")
    assert deployed.predict({"inputs": "Hi"})[0]["generated_text"]

with step("sagewire"):
    assert Client(deployed).complete("Hello").text
    assert Client(chat).chat("Hello there").text == "Hello there"
    assert "".join(Client(chat).stream("Hello there").text) == "Hello there"
    assert Client("chat", session=session).chat("Hello there").text == "Hello there"
    assert Client(later, transport=AsyncInference()).complete("Hello").text

with step("clean up"):
    deployed.delete_model()
    deployed.delete_endpoint()
    with refused("ValidationError"):
        deployed.predict({"inputs": "Hi"})

with step("files"):
    place = session.upload_data(__file__, key_prefix="code")
    assert S3Downloader.list("s3://sdk-2/code") == [place]
    assert S3Downloader.read_file(place).startswith('"""What the SageMaker')

report()
