"""Dictionaries, pickles and copies of a model."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from sagewire.testing.llama_index.answers import check_chat
from sagewire.testing.llama_index.subject import Subject, conversation

__all__ = ["KeepingTests"]


class KeepingTests(Subject):
    """Tests of saving, pickling and copying a model."""

    def test_to_dict(self, llm: Any) -> None:
        """A model can be written as JSON, and the class can be told from it."""
        written = json.loads(llm.to_json())
        assert written["class_name"] == self.llm_class.class_name()

    def test_from_dict(self, llm: Any) -> None:
        """A saved model is read back with the same metadata, given the secrets again."""
        secrets = {name: self.llm_params[name] for name in self.secrets}
        again = self.llm_class.from_dict(llm.to_dict(), **secrets)
        assert again.metadata == llm.metadata
        assert again.to_dict() == llm.to_dict()

    def test_secrets_are_not_shown(self, llm: Any) -> None:
        """No dictionary, payload or representation of a model holds a secret."""
        shown = [repr(llm), str(llm), llm.to_json(), repr(llm.to_dict()), repr(llm.metadata)]
        if hasattr(llm, "to_payload"):
            shown.append(repr(llm.to_payload()))
        assert not [name for name in self.secrets for text in shown if str(self.llm_params[name]) in text]

    def test_pickle(self, llm: Any) -> None:
        """A model that was used can be pickled, and its copy answers."""
        if not self.pickles:
            pytest.skip("pickles is False")
        llm.chat(conversation())
        again = pickle.loads(pickle.dumps(llm))
        assert again.to_dict() == llm.to_dict()
        check_chat(again.chat(conversation()))

    def test_deepcopy(self, llm: Any) -> None:
        """A copy of a model that was used answers."""
        llm.chat(conversation())
        check_chat(copy.deepcopy(llm).chat(conversation()))
