"""The example files that LiteLLM's package ships: what becomes of each, as the guide says."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from sagewire.errors import UsageError
from sagewire.gateway.config import litellm_keys as keys
from sagewire.gateway.config import litellm_names, parse_config
from sagewire.types import OptionArguments

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


@pytest.fixture
def litellm(python_with: Callable[..., Path]) -> Path:
    """The folder of LiteLLM's package."""
    python = python_with("litellm>=1.110,<1.111")
    folder = Path(subprocess.run([python, "-c", FIND], capture_output=True, text=True, check=True).stdout.strip())
    return folder.parents[1]


def test_every_key_is_known(litellm: Path) -> None:
    classes = {
        found.name: found
        for path in ("proxy/_types.py", "router.py", "types/router.py", "types/utils.py")
        for found in ast.walk(ast.parse((litellm / path).read_text("utf-8")))
        if isinstance(found, ast.ClassDef)
    }

    def fields(*names: str) -> set[str]:
        lines = (line for name in names for line in classes[name].body)
        return {line.target.id for line in lines if isinstance(line, ast.AnnAssign)}

    def read(section: str) -> set[str]:
        source = "".join(path.read_text("utf-8", "replace") for path in (litellm / "proxy").rglob("*.py"))
        return set(re.findall(rf'\b{section}(?:\.get\(\s*|\[)"(\w+)"', source))

    made = next(one for one in classes["Router"].body if getattr(one, "name", "") == "__init__")
    assert isinstance(made, ast.FunctionDef)
    router = {one.arg for one in (*made.args.args, *made.args.kwonlyargs)} - {"self", "model_list"}
    providers = {line.value.value for line in classes["LlmProviders"].body if isinstance(line, ast.Assign)}
    params = fields("GenericLiteLLMParams", "LiteLLM_Params", "CredentialLiteLLMParams", "LiteLLMParamsTypedDict")

    def unknown(names: Iterable[str], *known: frozenset[str]) -> set[str]:
        return set(names) - keys.REFUSED.union(*known)

    general = fields("ConfigGeneralSettings") | read("general_settings")
    assert unknown(general, keys.GENERAL_TAKEN, keys.GENERAL_NO_EFFECT) == set()
    assert unknown(router | read("router_settings"), keys.ROUTER_TAKEN, keys.ROUTER_NO_EFFECT) == set()
    assert unknown(read("litellm_settings"), keys.SETTINGS_TAKEN, keys.SETTINGS_NO_EFFECT) == set()
    left = unknown(params, keys.PARAMS_TAKEN, keys.PARAMS_NO_EFFECT, frozenset(OptionArguments.__annotations__))
    assert {one for one in left if "_cost" not in one and not keys.SECRET.search(one)} == {"mock_response"}
    # They have no models of their own.
    assert providers - litellm_names.PROVIDERS <= {"custom", "dotprompt", "refuseless"}


def test_shipped_examples(litellm: Path) -> None:
    folder = litellm / "proxy" / "example_config_yaml"
    found = {path.stem: outcome(path.read_text("utf-8")) for path in sorted(folder.glob("*.yaml"))}
    _, _, rest = GUIDE.read_text("utf-8").partition("<!-- litellm examples")
    rows = re.findall(r"^\| ([^|]+?) \| (`[^|]+) \|$", rest.partition("## ")[0], re.MULTILINE)
    told = {name: kind for kind, names in rows for name in re.findall(r"`(\w+)`(?! \))", re.sub(r"\(.*?\)", "", names))}
    assert found == told
