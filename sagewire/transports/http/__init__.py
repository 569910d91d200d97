"""Any HTTP server: Hugging Face Inference Endpoints and router, TGI, vLLM, TEI, llama.cpp, Ollama."""

from sagewire.transports.http.transport import AsyncHttpTransport, HttpTarget, HttpTransport, join_path

__all__ = ["AsyncHttpTransport", "HttpTarget", "HttpTransport", "join_path"]
