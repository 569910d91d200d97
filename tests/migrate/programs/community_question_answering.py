"""Question answering over documents, with a client for a role in another account."""

import json

import boto3
from langchain_community.llms import SagemakerEndpoint
from langchain_community.llms.sagemaker_endpoint import LLMContentHandler
from langchain_core.documents import Document
from langchain_core.prompts import PromptTemplate

page = Document(page_content="The harbour of Bergen has 14 cranes. They are red.")
question = "How many cranes does the harbour have?"
template = """Answer from the context.

Context: {context}

Question: {question}
Answer:"""
prompt = PromptTemplate(template=template, input_variables=["context", "question"])

sts = boto3.client("sts")
answer = sts.assume_role(RoleArn="arn:aws:iam::222222222222:role/endpoint-users", RoleSessionName="tour")
keys = answer["Credentials"]
client = boto3.client(
    "sagemaker-runtime",
    region_name="us-east-1",
    aws_access_key_id=keys["AccessKeyId"],
    aws_secret_access_key=keys["SecretAccessKey"],
    aws_session_token=keys["SessionToken"],
)


class ContentHandler(LLMContentHandler):
    content_type = "application/json"
    accepts = "application/json"

    def transform_input(self, prompt: str, model_kwargs: dict) -> bytes:
        # The container wants parameters apart.
        return json.dumps({"inputs": prompt, "parameters": model_kwargs}).encode("utf-8")

    def transform_output(self, output: bytes) -> str:
        return json.loads(output.read().decode("utf-8"))[0]["generated_text"]


llm = SagemakerEndpoint(
    endpoint_name="their-tgi",
    client=client,
    model_kwargs={"temperature": 1e-10, "max_new_tokens": 50, "return_full_text": False},
    content_handler=ContentHandler(),
)
chain = prompt | llm
print(chain.invoke({"context": page.page_content, "question": question}))

try:
    SagemakerEndpoint(endpoint_name="nowhere", region_name="us-east-1", content_handler=ContentHandler()).invoke(
        "Hello"
    )
except ValueError:
    print("there is no such endpoint")
