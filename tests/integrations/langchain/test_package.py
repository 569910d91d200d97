"""The package as it is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sagewire.integrations.langchain as package


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def test_public_names_are_sorted_and_importable():
    assert package.__all__ == sorted(package.__all__)
    assert dir(package) == package.__all__
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'ChatSageMaker'"):
        package.ChatSageMaker  # noqa: B018


def test_a_missing_langchain_is_one_sentence():
    done = run(
        "import sys; sys.modules['langchain_core'] = None\n"
        "from sagewire.errors import MissingExtra\n"
        "try:\n    import sagewire.integrations.langchain\n"
        "except MissingExtra as error:\n    print(error)"
    )
    words = "this needs langchain_core, which is not installed: pip install "
    assert (done.stdout.startswith(words), done.stdout.strip()[-12:]) == (True, "[langchain]'")


def test_importing_the_package_loads_no_model_class():
    done = run(
        "import sys, sagewire.integrations.langchain\n"
        "print([name for name in ('langchain_core.language_models', 'aiohttp', 'boto3') if name in sys.modules])"
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_making_a_model_opens_no_connection_and_loads_no_transport():
    done = run(
        "import sys\nfrom sagewire.integrations.langchain import ChatSagemakerEndpoint\n"
        "model = ChatSagemakerEndpoint(endpoint_name='x', content_handler='openai_chat')\n"
        "print([name for name in ('aiohttp', 'boto3', 'botocore', 'urllib3') if name in sys.modules])"
    )
    assert done.stderr == ""
    assert "aiohttp" not in done.stdout
    assert "botocore" not in done.stdout
