"""LiteLLM's form of the configuration file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["Credential", "Entry", "LiteLlmConfig"]


class Entry(BaseModel):
    """An entry of `model_list`."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    model_name: str
    litellm_params: dict[str, Any]
    model_info: dict[str, Any] = Field(default_factory=dict)
    rpm: float | None = None
    tpm: float | None = None

    @field_validator("model_info", mode="before")
    @classmethod
    def _without_keys(cls, value: Any) -> Any:
        # All of its keys are commented out.
        return {} if value is None else value


class Credential(BaseModel):
    """An entry of `credential_list`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    credential_name: str
    credential_values: dict[str, Any]


class LiteLlmConfig(BaseModel):
    """The file as LiteLLM reads it."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    model_list: list[Entry] = Field(min_length=1)
    litellm_settings: dict[str, Any] = Field(default_factory=dict)
    router_settings: dict[str, Any] = Field(default_factory=dict)
    general_settings: dict[str, Any] = Field(default_factory=dict)
    environment_variables: dict[str, Any] = Field(default_factory=dict)
    credential_list: list[Credential] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_sections(cls, value: Any) -> Any:
        """Leave out sections whose keys are all commented out, as LiteLLM does, and settings without a value.

        A `master_key` without one stays: the gateway would be open.
        """
        if not isinstance(value, dict):
            return value
        given = {name: item for name, item in value.items() if item is not None}
        for section in {"litellm_settings", "router_settings"} & given.keys():
            if isinstance(given[section], dict):
                given[section] = {name: item for name, item in given[section].items() if item is not None}
        return given
