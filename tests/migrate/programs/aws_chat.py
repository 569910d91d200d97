import json
from typing import Any

from botocore.exceptions import ClientError
from langchain_aws.chat_models.sagemaker_endpoint import ChatModelContentHandler, ChatSagemakerEndpoint
from langchain_aws.llms import SagemakerEndpoint as Endpoint
from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage


class ChatHandler(ChatModelContentHandler):
    content_type = "application/json"
    accepts = "application/json"

    def transform_input(self, prompt: list[dict[str, Any]], model_kwargs: dict) -> bytes:
        return json.dumps({"messages": prompt, **model_kwargs}).encode("utf-8")

    def transform_output(self, output) -> AIMessage:
        answer = json.loads(output.read().decode("utf-8"))
        return AIMessage(content=answer["choices"][0]["message"]["content"])


class TextHandler(LLMContentHandler):
    content_type = "application/json"
    accepts = "application/json"

    def transform_input(self, prompt: str, model_kwargs: dict) -> bytes:
        return json.dumps({"inputs": prompt, "parameters": model_kwargs}).encode("utf-8")

    def transform_output(self, output) -> str:
        return json.loads(output.read().decode("utf-8"))[0]["generated_text"]


chat = ChatSagemakerEndpoint(
    endpoint_name="vllm",
    region_name="us-east-1",
    model_kwargs={"temperature": 0.0, "max_tokens": 100},
    content_handler=ChatHandler(),
)
print(chat.invoke([SystemMessage("Be brief."), HumanMessage("What is the capital of France?")]).content)

llm = Endpoint(
    endpoint_name="tgi",
    region_name="us-east-1",
    model_kwargs={"max_new_tokens": 100, "return_full_text": False},
    content_handler=TextHandler(),
)
print(llm.invoke("What is the capital of France?"))
try:
    ChatSagemakerEndpoint(endpoint_name="nowhere", region_name="us-east-1", content_handler=ChatHandler()).invoke("Hi")
except ClientError:
    print("there is no such endpoint")
