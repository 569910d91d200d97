"""Hugging Face's containers: Text Generation Inference and the inference toolkit."""
