import os

from langchain_core.prompts import PromptTemplate
from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint

llm = HuggingFaceEndpoint(
    endpoint_url=os.environ["TGI_URL"],
    max_new_tokens=100,
    temperature=0.01,
    huggingfacehub_api_token="not-needed",
)
chain = PromptTemplate.from_template("Question: {question}\n\nAnswer: Let's think.") | llm
print(chain.invoke({"question": "What is the capital of France?"}))
for piece in llm.stream("What is the capital of France?"):
    print(piece, end="")
print()

chat = ChatHuggingFace(llm=llm, model_id="tgi")
print(chat.invoke("What is the capital of France?").content)
