# ruff: noqa: T201
import os

import litellm

os.environ["AWS_REGION_NAME"] = "us-east-1"
litellm.register_prompt_template(
    model="sagemaker/tgi",
    roles={
        "system": {"pre_message": "[INST] <<SYS>>\n", "post_message": "\n<</SYS>>\n [/INST]\n"},
        "user": {"pre_message": "[INST] ", "post_message": " [/INST]\n"},
        "assistant": {"pre_message": "\n", "post_message": "\n"},
    },
)
response = litellm.completion(
    model="sagemaker/tgi",
    messages=[
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "What is the sun? The sun is a star."},
    ],
    temperature=0.2,
    max_tokens=80,
    top_k=1,
    sagemaker_base_url=os.environ["INVOCATIONS_URL"],
)
print(response.choices[0].message.content)
