"""The examples in `deploy/`: valid by their own schemas, and in step with the gateway."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sagewire
from sagewire.errors import UsageError
from sagewire.gateway.config import load_config, parse_config
from sagewire.gateway.server.supervisor import CLOSING_SECONDS

DEPLOY = Path(__file__).parents[2] / "deploy"
ENVIRONMENT = {
    "SAGEWIRE_MASTER_KEY": "sk-some-master-key",
    "SAGEWIRE_DATABASE_URL": "postgresql://u:p@h/d",
    "SAGEWIRE_REDIS_URL": "redis://h",
}


def documents() -> dict[str, dict]:
    return {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def test_the_configurations_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert load_config(DEPLOY / "gateway.yaml").has_keys
    inner = parse_config(documents()["ConfigMap"]["data"]["gateway.yaml"], "ConfigMap", ENVIRONMENT)
    assert inner.has_keys
    assert set(documents()["Secret"]["stringData"]) == set(ENVIRONMENT)


def test_draining_fits_into_the_time_that_is_given() -> None:
    pod = documents()["Deployment"]["spec"]["template"]["spec"]
    config = parse_config(documents()["ConfigMap"]["data"]["gateway.yaml"], "ConfigMap", ENVIRONMENT)
    assert pod["terminationGracePeriodSeconds"] >= 5 + config.server.drain_seconds + CLOSING_SECONDS
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["gateway"]
    drain = parse_config((DEPLOY / "gateway.yaml").read_text(), "gateway", ENVIRONMENT).server.drain_seconds
    assert int(compose["stop_grace_period"].removesuffix("s")) >= drain + CLOSING_SECONDS


def test_the_probes_exist(start) -> None:
    gateway = start("models: {chat: {endpoint: chat, handler: openai_chat}}")
    (container,) = documents()["Deployment"]["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert gateway.get(container[probe]["httpGet"]["path"]).status == 200


def test_the_published_key_is_refused() -> None:
    published = documents()["Secret"]["stringData"]["SAGEWIRE_MASTER_KEY"]
    text = documents()["ConfigMap"]["data"]["gateway.yaml"]
    with pytest.raises(UsageError, match="published in the examples"):
        parse_config(text, "ConfigMap", {**ENVIRONMENT, "SAGEWIRE_MASTER_KEY": published})


def test_one_image_tag_that_is_the_version() -> None:
    tag = f"sagewire-gateway:{sagewire.__version__}"
    (container,) = documents()["Deployment"]["spec"]["template"]["spec"]["containers"]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["gateway"]
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert container["image"] == compose["image"] == tag
    assert f"--tag {tag} " in dockerfile
    bases = [line.split()[1] for line in dockerfile.splitlines() if line.startswith("FROM ")]
    # One base, with its patch version and digest.
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases[0])


def test_kubernetes_objects_fit_together() -> None:
    found = documents()
    deployment = found["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
    scaler, policy = found["HorizontalPodAutoscaler"]["spec"], found["NetworkPolicy"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    assert scaler["minReplicas"] > found["PodDisruptionBudget"]["spec"]["minAvailable"]
    for selector in (policy["podSelector"], found["PodDisruptionBudget"]["spec"]["selector"]):
        assert selector["matchLabels"] == labels
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} <= ports


@pytest.mark.slow
def test_kubernetes_schemas() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    for document in documents().values():
        validate.validate(document, "1.31", strict=True)
    broken = documents()["Deployment"]
    broken["spec"]["replica"] = 2
    with pytest.raises(validate.ValidationError):
        validate.validate(broken, "1.31", strict=True)


def tool(name: str) -> str:
    """Return the path of a program of this environment or machine."""
    command = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if command is None:
        pytest.skip(f"needs {name}")
    return command


@pytest.mark.slow
def test_compose_schema(tmp_path: Path) -> None:
    arguments = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*arguments, str(DEPLOY / "compose.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "compose.yaml"
    broken.write_text((DEPLOY / "compose.yaml").read_text().replace("healthcheck:", "healthchek:", 1))
    assert subprocess.run([*arguments, str(broken)], capture_output=True, check=False).returncode != 0


@pytest.mark.slow
def test_hadolint(tmp_path: Path) -> None:
    command = tool("hadolint")
    done = subprocess.run([command, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "Dockerfile"
    broken.write_text("FROM python\nRUN cd /x && sudo pip install sagewire\n")
    assert subprocess.run([command, str(broken)], capture_output=True, check=False).returncode != 0


@pytest.mark.slow
def test_kustomize() -> None:
    done = subprocess.run([tool("kubectl"), "kustomize", DEPLOY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
    assert found == documents()
