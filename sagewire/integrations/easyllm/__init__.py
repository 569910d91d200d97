"""EasyLLM's clients on sagewire: change the import line, and the rest of a program stays as it is.

    # from easyllm.clients import huggingface, sagemaker
    from sagewire.integrations.easyllm import huggingface, sagemaker

These work here and not there: streams, `acreate`, several answers at once, today's containers and their own chat
templates. Results are OpenAI-shaped, and read as dictionaries or as attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagewire._names import missing
from sagewire.integrations.easyllm import huggingface, prompt_utils, sagemaker

__all__ = ["huggingface", "prompt_utils", "sagemaker"]

if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
