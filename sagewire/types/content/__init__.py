"""Message content in the shapes of OpenAI, LangChain, Anthropic, Bedrock, Google and Hugging Face, as sagewire's parts.

The same image may arrive as OpenAI's `image_url`, as Anthropic's `image` with a `source` or as Bedrock's bytes; people
store conversations and continue them with another model.
"""
