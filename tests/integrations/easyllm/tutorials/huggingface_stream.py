# ruff: noqa: T201
import os

from easyllm.clients import huggingface

huggingface.api_base = os.environ["CONTAINER_URL"]
huggingface.prompt_builder = "llama2"

response = huggingface.ChatCompletion.create(
    messages=[{"role": "user", "content": "What is the sun? The sun is a star at the centre."}],
    stream=True,
)
for chunk in response:
    delta = chunk["choices"][0]["delta"]
    if "content" in delta:
        print(delta["content"], end="")
print()
