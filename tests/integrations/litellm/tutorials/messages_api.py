# ruff: noqa: T201
import os

import litellm

response = litellm.completion(
    model="sagemaker_chat/tgi",
    messages=[{"role": "user", "content": "Hello, how are you?"}],
    temperature=0.2,
    max_tokens=80,
    sagemaker_base_url=os.environ["INVOCATIONS_URL"],
)
print(response.choices[0].message.content)
print(response.usage.total_tokens)
