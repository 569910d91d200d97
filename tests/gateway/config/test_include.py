"""Configurations in several files: what is read, how it is joined, which file a mistake is in, what is loaded again."""

from pathlib import Path

import pytest

from sagewire.errors import UsageError
from sagewire.gateway.accounting.database import open_store
from sagewire.gateway.config import load_config, parse_config
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.server.reloading import Reloader

ENTRY = "  - {{model_name: {0}, litellm_params: {{model: sagemaker_chat/{0}}}}}\n"


def write(folder: Path, **files: str) -> Path:
    """Write `main="..."` and `teams__a="..."` as main.yaml and teams/a.yaml; return the first."""
    paths = []
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        paths.append(path)
    return paths[0]


def test_litellms_files_are_joined_as_there(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main="include:\n  - models.yaml\n  - more.yaml\nmodel_list:\n"
        + ENTRY.format("first")
        + "general_settings: {master_key: sk-a, alerting: [x]}\nlitellm_settings: {num_retries: 7}\n",
        models="model_list:\n" + ENTRY.format("second") + "litellm_settings: {num_retries: 1}\n",
        more="include: [models.yaml, deeper/own.yaml]\nmodel_list:\n" + ENTRY.format("third"),
        deeper__own="include: [next.yaml]\nrouter_settings: {routing_strategy: least-busy}\n",
        deeper__next="model_list:\n" + ENTRY.format("fourth"),
    )
    config = load_config(path)
    # Lists are appended, anything else is taken from the last file; a file named twice is read once.
    assert list(config.models) == ["first", "second", "third", "fourth"]
    assert all(len(model.deployments) == 1 for model in config.models.values())
    assert config.models["first"].attempts == 2
    assert config.models["fourth"].routing == "least_busy"
    assert config.server.master_key.get_secret_value() == "sk-a"


def test_a_file_that_only_includes(tmp_path: Path) -> None:
    path = write(tmp_path, main="include: models.yaml\n", models="model_list:\n" + ENTRY.format("m"))
    assert list(load_config(path).models) == ["m"]


def test_own_files_are_joined_by_key(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main="include: [teams/a.yaml, teams/b.yaml]\nmodels: {m: {endpoint: m}}\nkeys: [{name: x, key: os.environ/X}]\n"
        "server: {master_key: sk-a}\nenvironment: {X: sk-x}\n",
        teams__a="models:\n  a: {endpoint: a}\naliases: {gpt-4o: a}\nkeys: [{name: y, key: sk-y, models: [m]}]\n",
        teams__b="models:\n  b: {endpoint: b, fallbacks: [m]}\nserver: {drain_seconds: 5}\naliases:\n",
    )
    config = load_config(path)
    assert (list(config.models), config.aliases) == (["m", "a", "b"], {"gpt-4o": "a"})
    assert [key.name for key in config.keys] == ["x", "y"]
    assert config.keys[0].key.get_secret_value() == "sk-x"
    assert (config.server.drain_seconds, config.server.master_key.get_secret_value()) == (5, "sk-a")


MAIN = "include: {}\nmodels:\n  m: {{endpoint: m}}\n"


@pytest.mark.parametrize(
    ("include", "other", "says"),
    [
        ("other.yaml", "models:\n  a: {endpont: a}", r"other\.yaml, line 2: models\.a\.endpont: .*'endpoint'\?"),
        ("other.yaml", "models:\n  a:\n    endpoint: a\n    weight: x", r"other\.yaml, line 4: models\.a\."),
        ("other.yaml", "\nmodels:\n  m: {endpoint: a}", r"other\.yaml, line 3: .*models\.m is in .*main\.yaml, line 3"),
        ("other.yaml", "models: [a]", r"other\.yaml, line 1: .*models is in .*main\.yaml, line 2"),
        ("other.yaml", "models:\n  a: {endpoint: b}\n  a: {endpoint: c}", r"other\.yaml, line 3: 'a' is there twice"),
        ("other.yaml", "models:\n  a: {endpoint: os.environ/NOT_SET_AT_ALL}", r"other\.yaml, line 2: .*is not set"),
        ("other.yaml", "models: [", r"other\.yaml: line [12]: not valid YAML"),
        ("other.yaml", "models:\n  <<: 5", r"other\.yaml: line 2: not valid YAML: expected a mapping"),
        ("other.yaml", "? [a, b]\n: c", r"other\.yaml, line 1: a key should be a word"),
        ("other.yaml", "- a", r"other\.yaml: expected a mapping"),
        ("other.yaml", "", r"other\.yaml: expected a mapping"),
        ("other.yaml", "include: [other.yaml]", r"other\.yaml, line 1: include: .*other\.yaml includes itself"),
        ("other.yaml", "\ninclude: main.yaml", r"other\.yaml, line 2: include: .*main\.yaml includes itself"),
        ("[other.yaml,\n  nothing.yaml]", "aliases: {}", r"main\.yaml, line 2: include: cannot read .*nothing\.yaml"),
        ("main.yaml", "", r"main\.yaml, line 1: include: .*includes itself"),
        (".", "", r"main\.yaml, line 1: include: .*it is not a regular file"),
        ("/dev/zero", "", r"main\.yaml, line 1: include: .*it is not a regular file"),
        ("'https://example.com/models.yaml'", "", r"main\.yaml, line 1: include: only files of this machine"),
        ("s3://bucket/models.yaml", "", r"main\.yaml, line 1: include: only files of this machine"),
        ("{a: b}", "", r"main\.yaml, line 1: include: should be the name of a file"),
        ("[[a]]", "", r"main\.yaml, line 1: include: should be the name of a file"),
        ("['']", "", r"main\.yaml, line 1: include: should be the name of a file"),
    ],
)
def test_mistakes_name_their_file(tmp_path: Path, include: str, other: str, says: str) -> None:
    path = write(tmp_path, main=MAIN.format(include), other=other)
    with pytest.raises(UsageError, match=says):
        load_config(path)


def test_a_mistake_in_an_included_litellm_file(tmp_path: Path) -> None:
    models = "model_list:\n" + ENTRY.format("m") + "  - model_name: n\n    litellm_params:\n      model: azur/n\n"
    path = write(tmp_path, main="include: [models.yaml]\nmodel_list:\n" + ENTRY.format("first"), models=models)
    with pytest.raises(UsageError, match=r"models\.yaml, line 5: model_list\.2\.litellm_params\.model: .*'azur'"):
        load_config(path)
    (tmp_path / "models.yaml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"main\.yaml, line 1: include: cannot read .*models\.yaml.*UTF-8"):
        load_config(path)


def test_a_text_includes_from_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, other="models:\n  a: {endpoint: a}")
    monkeypatch.chdir(tmp_path)
    assert list(parse_config("include: other.yaml").models) == ["a"]
    with pytest.raises(UsageError, match=r"did you mean 'include'"):
        parse_config("inclde: other.yaml\nmodels:\n  a: {endpoint: a}")


async def test_a_change_of_any_file_is_noticed(tmp_path: Path) -> None:
    # As Kubernetes mounts a ConfigMap: names that point through a link, which is swapped as a whole.
    first = write(tmp_path, v1__main=MAIN.format("other.yaml"), v1__other="models:\n  a: {endpoint: a}")
    write(tmp_path, v2__main=MAIN.format("other.yaml"), v2__other="models:\n  b: {endpoint: b}")
    (tmp_path / "data").symlink_to(first.parent)
    for name in ("main.yaml", "other.yaml"):
        (tmp_path / name).symlink_to(Path("data") / name)
    path, other = tmp_path / "main.yaml", tmp_path / "v2/other.yaml"
    gateway = Gateway(load_config(path), open_store("sqlite://"))
    files: dict[Path, bytes] = {}
    load_config(path, files)
    reloader = Reloader(gateway, path, files)
    await reloader.start()
    try:
        assert not await reloader.check()
        (tmp_path / "new").symlink_to(tmp_path / "v2")
        (tmp_path / "new").rename(tmp_path / "data")
        assert await reloader.check()
        assert list(gateway.config.models) == ["m", "b"]
        for broken in ("models: {b: {endpont: b}}", None):
            if broken is None:
                other.unlink()
            else:
                other.write_text(broken)
            assert not await reloader.check()
            assert gateway.metrics.config_current._value.get() == 0
            # Said once, not every second.
            assert not reloader._changed()
            assert list(gateway.config.models) == ["m", "b"]
        other.write_text("models:\n  c: {endpoint: c}")
        assert await reloader.check()
        assert list(gateway.config.models) == ["m", "c"]
        assert gateway.metrics.config_current._value.get() == 1
        assert await reloader.check(asked=True)
    finally:
        reloader._task.cancel()
        await gateway.close()
