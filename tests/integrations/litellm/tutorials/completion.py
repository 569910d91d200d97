# ruff: noqa: T201
import os

from litellm import completion

response = completion(
    model="sagemaker/tgi",
    messages=[{"role": "user", "content": "Who found the wreck? Elias Stadiatis found the wreck in 1900."}],
    temperature=0.2,
    max_tokens=80,
    hf_model_name="meta-llama/Llama-2-7b-chat-hf",
    sagemaker_base_url=os.environ["INVOCATIONS_URL"],
)
print(response.choices[0].message.content)
print(response["choices"][0]["message"]["content"])
