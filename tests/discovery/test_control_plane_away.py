"""The control plane is away, slow, closed or not itself, at each step: what was found holds, and nothing is guessed."""

import asyncio
import os
import threading

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from sagewire import AsyncClient, Client, UsageError
from sagewire.client import resolver
from sagewire.client.config import ClientConfig
from sagewire.discovery import describe as describing
from sagewire.errors import AccessDenied, EndpointError, ModelError, Throttled

from ..cases import each

LMI = "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.31.0-lmi13.0.0-cu124"
VLLM = "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:0.11.0-gpu-py312"


class Meta:
    region_name = "us-east-1"
    endpoint_url = "https://api.sagemaker.us-east-1.amazonaws.com"


class ControlPlane:
    """An endpoint whose image alone says chat, and whose environment says embeddings."""

    meta = Meta()

    def __init__(self, image=LMI, environment=None):
        variant = {"VariantName": "v", "DeployedImages": [{"SpecifiedImage": image}]}
        environment = {"OPTION_TASK": "text-embedding"} if environment is None else environment
        self.answers = {
            "describe_endpoint": {
                "EndpointStatus": "InService",
                "EndpointConfigName": "c",
                "EndpointArn": "arn",
                "ProductionVariants": [variant],
            },
            "describe_endpoint_config": {"ProductionVariants": [{"VariantName": "v", "ModelName": "m"}]},
            "describe_model": {"PrimaryContainer": {"Image": image, "Environment": environment}},
            "list_tags": {"Tags": []},
        }
        self.asked = []

    def __getattr__(self, operation):
        def call(**arguments):
            self.asked.append(operation)
            answer = self.answers[operation]
            if callable(answer):
                answer = answer(**arguments)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


@pytest.fixture
def control(monkeypatch):
    found = ControlPlane()
    monkeypatch.setattr(ClientConfig, "control_client", lambda self: found)
    return found


def refused(code, status=400):
    told = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(told, "Describe")


STEPS = ("describe_endpoint", "describe_endpoint_config", "describe_model", "list_tags")
FAILURES = {
    "denied": refused("AccessDeniedException"),
    "throttled": refused("ThrottlingException"),
    "broken": refused("InternalFailure", 500),
    "slow": ReadTimeoutError(endpoint_url="https://api.sagemaker"),
    "empty": {},
    "a list": [1, 2],
    "nothing": None,
    "other fields": {"EndpointStatus": "InService", "ProductionVariants": 5, "PrimaryContainer": [], "Tags": 7},
}
GRID = [(step, name) for step in STEPS for name in FAILURES]


@each(("step", "name"), GRID)
def test_what_was_found_holds_whichever_step_fails(monkeypatch, step, name):
    control = ControlPlane()
    monkeypatch.setattr(ClientConfig, "control_client", lambda self: control)
    client = Client("e")
    before = client.profile()
    assert before.embed == "lmi_embedding"
    client._resolver.forget()
    control.answers[step] = FAILURES[name]
    assert client.profile() is before
    assert client.known


@each(("step", "name"), [(step, name) for step, name in GRID if step != "list_tags" and name != "denied"])
def test_a_step_that_fails_for_now_is_an_error_and_no_guess(monkeypatch, step, name):
    control = ControlPlane()
    monkeypatch.setattr(ClientConfig, "control_client", lambda self: control)
    control.answers[step] = FAILURES[name]
    with pytest.raises(EndpointError) as caught:
        Client("e").profile()
    assert caught.value.retry_safe
    assert "handler='...'" in str(caught.value) or name == "broken"
    assert isinstance(caught.value, Throttled) == (name == "throttled")


@each("name", FAILURES)
def test_tags_may_be_missing_but_not_for_long(monkeypatch, name):
    control = ControlPlane()
    monkeypatch.setattr(ClientConfig, "control_client", lambda self: control)
    control.answers["list_tags"] = FAILURES[name]
    client = Client("e")
    assert client.profile().embed == "lmi_embedding"
    passing = name != "denied"
    assert client.describe().passing is passing
    finding = client._resolver.finding()
    assert (finding.until - resolver.time.monotonic() <= resolver.GRACE) is passing


def test_without_permission_for_the_model_the_image_decides(control):
    control.answers["describe_model"] = FAILURES["denied"]
    client = Client("e")
    assert client.profile().chat == "lmi_chat"
    # Another image is another container, however little is known of it.
    control.answers["describe_endpoint"]["ProductionVariants"][0]["DeployedImages"] = [{"SpecifiedImage": VLLM}]
    client._resolver.forget()
    assert client.profile().chat == "openai_chat"


def test_an_image_that_may_not_be_seen_is_told_with_the_permission(control):
    control.answers["describe_endpoint"]["ProductionVariants"] = []
    control.answers["describe_endpoint_config"] = FAILURES["denied"]
    with pytest.raises(UsageError, match=r"no image is visible; sagemaker:DescribeEndpointConfig is not allowed"):
        Client("e").profile()


def test_a_walk_of_slow_steps_ends(control, monkeypatch):
    now = [0.0]

    class Clock:
        @staticmethod
        def monotonic():
            now[0] += 7.0
            return now[0]

    monkeypatch.setattr(describing, "time", Clock)
    with pytest.raises(EndpointError, match=r"longer than 20 s.*VPC endpoint .*sagemaker\.api.*handler=") as caught:
        describing.describe(control, "e")
    assert caught.value.code == describing.UNREACHABLE


def test_lists_of_components_are_read_as_long_as_they_go_on(control):
    names = [f"c{number}" for number in range(250)]
    control.answers["describe_endpoint_config"] = {"ProductionVariants": [{"VariantName": "v"}]}
    control.answers["describe_endpoint"]["ProductionVariants"] = []

    def listed(NextToken="0", **_):
        start = int(NextToken)
        page = [{"InferenceComponentName": name} for name in names[start : start + 100]]
        return {"InferenceComponents": page} | ({"NextToken": str(start + 100)} if start + 100 < len(names) else {})

    control.answers["list_inference_components"] = listed
    assert describing.describe(control, "e").components == tuple(names)
    # One that is named needs no list.
    control.answers["describe_inference_component"] = {"Specification": {"Container": {"Image": LMI}}}
    control.asked.clear()
    assert describing.describe(control, "e", "c7").inference_component == "c7"
    assert "list_inference_components" not in control.asked
    # A list that repeats a page for ever.
    control.answers["list_inference_components"] = lambda **_: {"InferenceComponents": [], "NextToken": "same"}
    assert describing.describe(control, "e").components == ()

    def breaks_off(NextToken=None, **_):
        if NextToken:
            raise FAILURES["throttled"]
        return {"InferenceComponents": [{"InferenceComponentName": "c0"}], "NextToken": "1"}

    control.answers["list_inference_components"] = breaks_off
    with pytest.raises(Throttled):
        describing.describe(control, "e")


def test_an_answer_that_does_not_fit_is_looked_into_again_soon_if_it_could_not_be(control):
    client = Client("e")
    before = client._resolver.finding()
    error = ModelError("no", code="ModelError")
    error.original_status = 422
    control.answers["describe_endpoint"] = FAILURES["throttled"]
    assert not client._resolver.found_other(error, None, before)
    assert client._resolver._settled_until - resolver.time.monotonic() < 10
    control.answers = ControlPlane(VLLM).answers
    client._resolver._settled_until = 0.0
    assert client._resolver.found_other(error, None, before)
    assert client.profile().chat == "openai_chat"


def test_a_thousand_tasks_look_up_in_one_thread(control):
    going, threads, others = threading.Event(), [], set(threading.enumerate())

    def slow(**_):
        going.wait(10)
        threads.append(sum(each.name.startswith("sagewire") for each in set(threading.enumerate()) - others))
        raise FAILURES["denied"]

    control.answers["describe_endpoint"] = slow

    async def run():
        client = AsyncClient("e")
        calls = [asyncio.create_task(client.chat("x")) for _ in range(500)]
        calls += [asyncio.create_task(client.embed(["x"])) for _ in range(500)]
        await asyncio.sleep(0)
        # The first to ask may be cancelled; the others get what it asked for.
        calls[0].cancel()
        await asyncio.sleep(0)
        going.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    first, *errors = asyncio.run(run())
    assert isinstance(first, asyncio.CancelledError)
    assert {type(error) for error in errors} == {AccessDenied}
    assert (threads, control.asked) == ([1], ["describe_endpoint"])


def test_a_variant_that_takes_long_holds_up_no_other(control):
    described, going, started = control.answers["describe_endpoint"], threading.Event(), threading.Event()

    def slow(**_):
        if threading.current_thread() is not threading.main_thread():
            started.set()
            going.wait(10)
        return described

    control.answers["describe_endpoint"] = slow
    client = Client("e")
    other = threading.Thread(target=client._resolver.finding, args=({"TargetVariant": "slow"},))
    other.start()
    started.wait(10)
    assert client.profile().embed == "lmi_embedding"
    going.set()
    other.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_process_forked_during_a_look_up_looks_by_itself(control):
    described, going, started = control.answers["describe_endpoint"], threading.Event(), threading.Event()
    parent = os.getpid()

    def slow(**_):
        if os.getpid() == parent:
            started.set()
            going.wait(10)
        return described

    control.answers["describe_endpoint"] = slow
    client = Client("e")
    other = threading.Thread(target=client.profile)
    other.start()
    started.wait(10)
    child = os.fork()
    if child == 0:
        threading.Timer(5.0, os._exit, (9,)).start()
        os._exit(0 if client.profile().embed else 1)
    assert os.waitpid(child, 0)[1] == 0
    going.set()
    other.join()
