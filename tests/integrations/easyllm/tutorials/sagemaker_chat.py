# ruff: noqa: T201
import os

from easyllm.clients import sagemaker

sagemaker.api_base = os.environ["ENDPOINTS_URL"]
sagemaker.prompt_builder = "llama2"

response = sagemaker.ChatCompletion.create(
    model="tgi",
    messages=[
        {"role": "system", "content": "\nYou are a helpful assistant speaking like a pirate."},
        {"role": "user", "content": "Who found the wreck? Elias Stadiatis found the wreck in 1900."},
    ],
    temperature=0.9,
    top_p=0.6,
    max_tokens=256,
)
print(response["choices"][0]["message"]["role"])
print(response["choices"][0]["message"]["content"])
