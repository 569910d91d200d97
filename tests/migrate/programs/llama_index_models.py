from llama_index.core.llms import ChatMessage
from llama_index.embeddings.sagemaker_endpoint import SageMakerEmbedding
from llama_index.llms.sagemaker_endpoint import SageMakerLLM

llm = SageMakerLLM(
    endpoint_name="tgi",
    region_name="us-east-1",
    model_kwargs={"max_new_tokens": 100, "return_full_text": False},
)
print(llm.complete("What is the capital of France?").text.strip())
for piece in llm.stream_complete("What is the capital of France?"):
    print(piece.delta, end="")
print()
print(llm.chat([ChatMessage(role="user", content="What is the capital of France?")]).message.content.strip())

embedder = SageMakerEmbedding(endpoint_name="tei", region_name="us-east-1")
print(len(embedder.get_text_embedding("two\nlines")) > 10)
