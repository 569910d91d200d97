"""Triton Inference Server: the generate extension and `infer`."""
