// Code for each client and task.

const base = location.origin + "/v1";
const curl = (path, body) => `curl ${base}/${path} \\
  -H "Authorization: Bearer $SAGEWIRE_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '${body.replaceAll("'", "'\\''")}'`;
const openai = `import os
from openai import OpenAI

client = OpenAI(base_url="${base}",
                api_key=os.environ["SAGEWIRE_API_KEY"])`;
const documents = `["The sky is blue.", "Grass is green."]`;

export const snippets = {
  chat: {
    curl: model => curl("chat/completions", `{"model": "${model}", "stream": true,
       "messages": [{"role": "user", "content": "Hello"}]}`),
    openai: model => `${openai}
stream = client.chat.completions.create(
    model="${model}", stream=True,
    messages=[{"role": "user", "content": "Hello"}],
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="")`,
    LangChain: model => `import os
from langchain_openai import ChatOpenAI

llm = ChatOpenAI(model="${model}", base_url="${base}",
                 api_key=os.environ["SAGEWIRE_API_KEY"],
                 stream_usage=True)
for chunk in llm.stream("Hello"):
    print(chunk.text, end="")`,
    LlamaIndex: model => `import os
from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(model="${model}", api_base="${base}",
                 api_key=os.environ["SAGEWIRE_API_KEY"],
                 is_chat_model=True,
                 is_function_calling_model=True)
for part in llm.stream_complete("Hello"):
    print(part.delta, end="")`,
  },
  embed: {
    curl: model => curl("embeddings", `{"model": "${model}", "input": ["The sky is blue."]}`),
    openai: model => `${openai}
found = client.embeddings.create(
    model="${model}", input=["The sky is blue."],
)
print(len(found.data[0].embedding))`,
    LangChain: model => `import os
from langchain_openai import OpenAIEmbeddings

embeddings = OpenAIEmbeddings(
    model="${model}", base_url="${base}",
    api_key=os.environ["SAGEWIRE_API_KEY"],
    # Text, not the numbers of OpenAI's tokens.
    check_embedding_ctx_length=False,
)
print(len(embeddings.embed_query("The sky is blue.")))`,
    LlamaIndex: model => `import os
from llama_index.embeddings.openai_like import OpenAILikeEmbedding

embeddings = OpenAILikeEmbedding(
    model_name="${model}", api_base="${base}",
    api_key=os.environ["SAGEWIRE_API_KEY"],
)
print(len(embeddings.get_text_embedding("The sky is blue.")))`,
  },
  rerank: {
    curl: model => curl("rerank", `{"model": "${model}", "query": "What is blue?",
       "documents": ${documents}}`),
    Python: model => `import os
import httpx

answer = httpx.post(
    "${base}/rerank",
    headers={"Authorization": "Bearer " + os.environ["SAGEWIRE_API_KEY"]},
    json={"model": "${model}", "query": "What is blue?",
          "documents": ${documents}},
)
for one in answer.raise_for_status().json()["results"]:
    print(one["index"], one["relevance_score"])`,
    JavaScript: model => `const answer = await fetch("${base}/rerank", {
  method: "POST",
  headers: { "content-type": "application/json",
    authorization: "Bearer " + process.env.SAGEWIRE_API_KEY },
  body: JSON.stringify({ model: "${model}", query: "What is blue?",
    documents: ${documents} }),
});
for (const one of (await answer.json()).results)
  console.log(one.index, one.relevance_score);`,
  },
};
