# ruff: noqa: T201
import os

from easyllm.clients import sagemaker

sagemaker.api_base = os.environ["ENDPOINTS_URL"]
sagemaker.prompt_builder = "llama2"

response = sagemaker.Completion.create(
    model="tgi",
    prompt="What is the meaning of life? The meaning of life is unknown.",
    temperature=0.9,
    top_p=0.6,
    max_tokens=1024,
    echo=True,
)
print(response["choices"][0]["text"])
