"""A model's own chat template as a prompt format: where it is found, and the sandbox that renders it."""

from sagewire.prompt_formats.chat_template.template_format import PARSER_SIGNS, HubFormat, load_format

__all__ = ["PARSER_SIGNS", "HubFormat", "load_format"]
