# ruff: noqa: T201
import os

from easyllm.clients import huggingface

huggingface.api_base = os.environ["CONTAINER_URL"]
huggingface.prompt_builder = "llama2"

response = huggingface.ChatCompletion.create(
    messages=[
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the sun? The sun is a star."},
    ],
    temperature=0.9,
    top_p=0.6,
    max_tokens=256,
)
print(response["choices"][0]["message"]["content"])
