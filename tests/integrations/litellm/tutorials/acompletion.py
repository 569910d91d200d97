# ruff: noqa: T201
import asyncio
import os

from litellm import acompletion


async def main():
    response = await acompletion(
        model="sagemaker/tgi",
        messages=[{"role": "user", "content": "What is the sun? The sun is a star."}],
        hf_model_name="meta-llama/Llama-2-7b-chat-hf",
        sagemaker_base_url=os.environ["INVOCATIONS_URL"],
    )
    print(response.choices[0].message.content)


asyncio.run(main())
