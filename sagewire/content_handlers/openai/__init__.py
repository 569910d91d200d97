"""Servers with OpenAI's request format: vLLM, SGLang, llama.cpp, Nova, Mistral and many more."""
