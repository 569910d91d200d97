# ruff: noqa: T201
import os

from litellm import completion

response = completion(
    model="sagemaker/tgi",
    messages=[{"role": "user", "content": "What is the sun? The sun is a star."}],
    stream=True,
    hf_model_name="meta-llama/Llama-2-7b-chat-hf",
    sagemaker_base_url=os.environ["INVOCATIONS_URL"] + "-response-stream",
)
for chunk in response:
    print(chunk.choices[0].delta.content or "", end="")
print()
