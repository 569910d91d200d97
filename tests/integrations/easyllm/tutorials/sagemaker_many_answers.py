# ruff: noqa: T201
import os

from easyllm.clients import sagemaker

sagemaker.api_base = os.environ["ENDPOINTS_URL"]
sagemaker.prompt_builder = "vicuna"
sagemaker.stop_sequences = ["</s>"]

response = sagemaker.ChatCompletion.create(
    model="tgi",
    messages=[{"role": "user", "content": "What is made of bronze? The gears are made of bronze."}],
    n=3,
    stop=["Question:"],
    max_tokens=64,
)
for choice in response["choices"]:
    print(choice["index"], choice["message"]["content"])
