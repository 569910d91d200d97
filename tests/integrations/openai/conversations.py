# ruff: noqa: T201
"""What programs do with OpenAI's client; run with either generation of it, and printed to be compared."""

import asyncio
import sys

import openai

from sagewire.integrations.openai import async_openai_client, openai_client

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there"}]


def talk(endpoint):
    with openai_client(endpoint) as client:
        answer = client.chat.completions.create(model=endpoint, messages=MESSAGES, max_tokens=20)
        print(endpoint, answer.choices[0].message.content, answer.choices[0].finish_reason, answer.usage.total_tokens)
        with client.chat.completions.create(
            model="", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        ) as stream:
            pieces = [chunk.choices[0].delta.content or "" if chunk.choices else str(chunk.usage) for chunk in stream]
        print("|".join(piece for piece in pieces if piece))
        print(client.completions.create(model="", prompt="Ho", echo=True).choices[0].text)
        print(
            "".join(chunk.choices[0].text for chunk in client.completions.create(model="", prompt="a b", stream=True))
        )
        print([model.id for model in client.models.list()], client.models.retrieve(endpoint).id)
        try:
            client.chat.completions.create(model="", messages=[])
        except openai.BadRequestError as error:
            print(type(error).__name__)


async def atalk(endpoint):
    async with async_openai_client(endpoint) as client:
        answer = await client.chat.completions.create(model=endpoint, messages=MESSAGES, max_tokens=20)
        print(endpoint, answer.choices[0].message.content)
        stream = await client.chat.completions.create(model="", messages=MESSAGES, stream=True)
        print("".join([chunk.choices[0].delta.content or "" async for chunk in stream]))
        print((await client.completions.create(model="", prompt="Ho")).choices[0].text)
        texts = await client.completions.create(model="", prompt="a b", stream=True)
        print("".join([chunk.choices[0].text async for chunk in texts]))
        try:
            await client.responses.create(model="", input="x")
        except openai.NotFoundError as error:
            print(type(error).__name__)


def embed(endpoint):
    with openai_client(endpoint) as client:
        vectors = client.embeddings.create(model=endpoint, input=["one", "two"])
        print(len(vectors.data), len(vectors.data[0].embedding), vectors.data[0].embedding[:4])


def main():
    for endpoint in ("vllm", "tgi-echo", "lmi"):
        talk(endpoint)
        asyncio.run(atalk(endpoint))
    embed("tei")
    print(openai.DefaultHttpxClient.__mro__[1].__module__, file=sys.stderr)


if __name__ == "__main__":
    main()
