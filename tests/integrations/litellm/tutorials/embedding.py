# ruff: noqa: T201
import os

from litellm import embedding

response = embedding(
    model="sagemaker/tei",
    input=["good morning from litellm", "this is another item"],
    aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
    aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    aws_region_name="us-east-1",
)
print(len(response.data), len(response.data[0]["embedding"]))
