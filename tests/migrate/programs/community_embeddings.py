import json

from langchain_community.embeddings import SagemakerEndpointEmbeddings
from langchain_community.embeddings.sagemaker_endpoint import EmbeddingsContentHandler


class ContentHandler(EmbeddingsContentHandler):
    content_type = "application/json"
    accepts = "application/json"

    def transform_input(self, inputs: list[str], model_kwargs: dict) -> bytes:
        return json.dumps({"inputs": inputs, **model_kwargs}).encode("utf-8")

    def transform_output(self, output: bytes) -> list[list[float]]:
        return json.loads(output.read().decode("utf-8"))


content_handler = ContentHandler()

embeddings = SagemakerEndpointEmbeddings(
    endpoint_name="tei",
    region_name="us-east-1",
    content_handler=content_handler,
)
query = embeddings.embed_query("two\nlines")
print(round(sum(place * number for place, number in enumerate(query)), 3))
print(len(embeddings.embed_documents(["a", "b"])))
