"""The example files that LiteLLM's package ships: what becomes of each, as the guide says."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sagewire.errors import UsageError
from sagewire.gateway.config import parse_config

pytestmark = pytest.mark.slow
GUIDE = Path(__file__).parents[3] / "docs" / "how_to" / "gateway.md"
# What the message of each kind of refusal holds.
SAYS = {
    "other providers only": "sagewire serves SageMaker, Hugging Face and servers of your own",
    "OpenAI's own service: needs `api_base`": "needs `api_base`",
    "restrictions that sagewire cannot enforce": "sagewire has nothing like it",
    "not valid": "Field required",
}
FIND = "import litellm.proxy, pathlib; print(pathlib.Path(litellm.proxy.__path__[0]) / 'example_config_yaml')"


def outcome(text: str) -> str:
    names = re.findall(r"os\.environ/(\w+)", text)
    environment = {name: "http://localhost:1" if re.search("BASE|URL|HOST", name) else "1" for name in names}
    try:
        parse_config(text, "example.yaml", environment)
    except UsageError as error:
        return next((kind for kind, says in SAYS.items() if says in str(error)), str(error))
    return "run"


def test_shipped_examples(python_with: Callable[..., Path]) -> None:
    python = python_with("litellm>=1.110,<1.111")
    folder = Path(subprocess.run([python, "-c", FIND], capture_output=True, text=True, check=True).stdout.strip())
    found = {path.stem: outcome(path.read_text("utf-8")) for path in sorted(folder.glob("*.yaml"))}
    _, _, rest = GUIDE.read_text("utf-8").partition("<!-- litellm examples")
    rows = re.findall(r"^\| ([^|]+?) \| (`[^|]+) \|$", rest.partition("## ")[0], re.MULTILINE)
    told = {name: kind for kind, names in rows for name in re.findall(r"`(\w+)`(?! \))", re.sub(r"\(.*?\)", "", names))}
    assert found == told
