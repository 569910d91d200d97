"""The prompt builders of EasyLLM, LlamaIndex and LiteLLM, for programs that move and need the very same prompts."""
