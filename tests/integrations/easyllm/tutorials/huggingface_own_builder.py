# ruff: noqa: T201
import os

from easyllm.clients import huggingface

huggingface.api_base = os.environ["CONTAINER_URL"]


def build_prompt(messages):
    lines = []
    for message in messages:
        if message.role == "user":
            lines.append(f"Question: {message.content}\n")
        else:
            lines.append(f"{message.content}\n")
    return "".join(lines) + "Answer:"


huggingface.prompt_builder = build_prompt
response = huggingface.ChatCompletion.create(
    messages=[{"role": "user", "content": "Who found the wreck? Elias Stadiatis found the wreck in 1900."}],
    max_tokens=128,
)
print(response["choices"][0]["message"]["content"])
