"""Which deployment answers, and what happens when it does not."""

import asyncio
import time
from collections import Counter

import pytest

from sagewire.errors import EndpointTimeout, ModelError, Throttled, UsageError
from sagewire.gateway.config import DeploymentConfig, parse_config
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.routing.affinity import prefix_id
from sagewire.gateway.routing.breaker import Breaker
from sagewire.gateway.routing.deployments import Deployment, Lease
from sagewire.gateway.routing.model import Wanted
from sagewire.gateway.routing.router import Router
from sagewire.transports.retrying import RetryBudget
from tests.cases import each

HI = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}


def router(text: str) -> Router:
    return Router(parse_config(text))


TWO = "models: {m: {deployments: [{endpoint: a, weight: 3}, {endpoint: b}]}}"


async def test_weights() -> None:
    model = router(TWO).models["m"]
    seen: Counter[str] = Counter()
    for _ in range(2000):
        lease = await model.lease([], None)
        seen[lease.deployment.label] += 1
        lease.succeeded()
    assert 0.68 < seen["a"] / 2000 < 0.82


async def test_least_busy() -> None:
    model = router(TWO.replace("{m: {", "{m: {routing: least_busy, ")).models["m"]
    leases = [await model.lease([], None) for _ in range(40)]
    assert Counter(lease.deployment.label for lease in leases)["a"] == 30


async def test_conversations_stay_where_they_are_and_move_little() -> None:
    text = "models: {m: {affinity: conversation, deployments: [{endpoint: a}, {endpoint: b}, {endpoint: c}]}}"
    ids = [prefix_id({"messages": [{"role": "user", "content": str(n)}]}) for n in range(300)]

    async def places(text: str) -> dict[str, str]:
        model = router(text).models["m"]
        found = {}
        for one in ids:
            lease = await model.lease([], one)
            found[one] = lease.deployment.label
            lease.succeeded()
        return found

    first, again = await places(text), await places(text)
    assert first == again
    assert min(Counter(first.values()).values()) > 60
    without_c = await places(text.replace(", {endpoint: c}", ""))
    assert all(without_c[one] == place for one, place in first.items() if place != "c")


async def test_a_crowded_deployment_sheds_its_conversations() -> None:
    model = router("models: {m: {affinity: conversation, deployments: [{endpoint: a}, {endpoint: b}]}}").models["m"]
    leases = [await model.lease([], "one conversation") for _ in range(20)]
    assert len({lease.deployment.label for lease in leases}) == 2


async def test_full_deployments_queue_or_refuse() -> None:
    model = router("models: {m: {endpoint: a, max_concurrency: 1}}").models["m"]
    lease = await model.lease([], None)
    with pytest.raises(GatewayError, match="concurrency limit") as caught:
        await model.lease([], None)
    assert caught.value.status == 429
    waiting = router("models: {m: {endpoint: a, max_concurrency: 1, queue_seconds: 5}}").models["m"]
    lease = await waiting.lease([], None)
    asyncio.get_running_loop().call_later(0.01, lease.succeeded)
    assert (await waiting.lease([], None)).deployment is lease.deployment


async def test_retries_go_elsewhere_and_say_how_often() -> None:
    chosen = router(TWO)
    calls: list[str] = []

    async def work(deployment: Deployment) -> str:
        calls.append(deployment.label)
        if len(calls) == 1:
            raise ModelError("boom", status=500)
        return "done"

    served = await chosen.serve(chosen.models["m"], work)
    assert (served.result, len(calls), len(set(calls))) == ("done", 2, 2)
    assert sum(one.in_flight for one in chosen.deployments()) == 1
    served.lease.succeeded()
    served.lease.failed(ModelError("counted once"))
    assert sum(one.in_flight for one in chosen.deployments()) == 0


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (UsageError("the request is wrong"), 1),
        (ModelError("no reason to try the same again"), 1),
        (EndpointTimeout("too late", code="first_byte"), 1),
        (Throttled("slow down", retry_safe=True, retry_after=0.001), 3),
    ],
)
async def test_what_is_tried_again_on_the_only_deployment(error: Exception, attempts: int) -> None:
    chosen = router("models: {m: {endpoint: a}}")
    calls = 0

    async def work(deployment: Deployment) -> str:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        await chosen.serve(chosen.models["m"], work)
    assert calls == attempts
    assert next(chosen.deployments()).in_flight == 0


async def test_the_retry_budget_ends_storms() -> None:
    budget = RetryBudget(share=0.25, reserve=3)
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    for _ in range(4):
        budget.earn()
    assert [budget.take() for _ in range(2)] == [True, False]


async def test_breaker() -> None:
    now = [0.0]
    breaker = Breaker(2, 30, clock=lambda: now[0])
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert (breaker.state, breaker.allows(), breaker.seconds_left) == ("open", False, 30)
    now[0] = 30.0
    assert (breaker.state, breaker.allows()) == ("half_open", True)
    breaker.entered()
    assert not breaker.allows()
    breaker.left()
    assert breaker.allows()
    breaker.entered()
    breaker.failed()
    assert breaker.state == "open"
    now[0] = 60.0
    breaker.succeeded()
    assert breaker.state == "closed"


def test_one_probe_at_a_time_and_no_news_from_before() -> None:
    now = [0.0]
    changes: list[bool] = []
    breaker = Breaker(2, 30, clock=lambda: now[0], changed=changes.append)
    old = [breaker.entered() for _ in range(4)]
    breaker.failed(old[0])
    breaker.failed(old[1])
    assert (breaker.state, changes) == ("open", [False])
    now[0] = 20.0
    breaker.failed(old[2])
    assert breaker.seconds_left == 10
    now[0] = 30.0
    probe = breaker.entered()
    assert not breaker.allows()
    # Another old call ends; the probe is still the only one.
    breaker.failed(old[3])
    assert not breaker.allows()
    breaker.succeeded(probe)
    assert (breaker.state, changes) == ("closed", [False, True])


def test_an_open_breaker_is_closed_to_those_who_failed() -> None:
    breaker = Breaker(1, 30, clock=lambda: 0.0)
    breaker.failed(breaker.entered(), caller="bob")
    assert (breaker.allows("bob"), breaker.allows("alice")) == (False, True)
    # Calls at the same time are no probes of each other.
    probe = breaker.entered()
    assert (breaker.allows("alice"), breaker.allows("carol"), breaker.allows("bob")) == (True, True, False)
    breaker.failed(probe, caller="alice")
    assert (breaker.allows("alice"), breaker.allows("carol")) == (False, True)
    breaker.failed(breaker.entered(), caller="carol")
    # Of three callers, the server is to blame: the next one is let through alone.
    probe = breaker.entered()
    assert not breaker.allows("dave")
    breaker.failed(probe, caller="dave")
    assert breaker.allows("erin")
    breaker.succeeded(breaker.entered())
    assert breaker.allows("bob")


async def test_failures_of_one_caller_do_not_use_up_the_retries_of_another() -> None:
    chosen = router("models: {m: {deployments: [{endpoint: a, breaker_failures: 999}, {endpoint: b}], attempts: 2}}")

    async def fail(deployment: Deployment) -> str:
        raise ModelError("boom", status=500, retry_safe=True)

    async def half(deployment: Deployment) -> str:
        return await fail(deployment) if deployment.label == "a" else "ok"

    for _ in range(60):
        with pytest.raises(ModelError):
            await chosen.serve(chosen.models["m"], fail, wanted=Wanted(caller="bob"))
    found = [(await chosen.serve(chosen.models["m"], half, wanted=Wanted(caller="alice"))).result for _ in range(20)]
    assert found == ["ok"] * 20


async def test_attempts_of_one_request_count_once() -> None:
    chosen = router("models: {m: {endpoint: a, attempts: 5, breaker_failures: 2}}")

    async def work(deployment: Deployment) -> str:
        raise ModelError("boom", status=500, retry_safe=True)

    with pytest.raises(ModelError):
        await chosen.serve(chosen.models["m"], work)
    assert next(chosen.deployments()).breaker.state == "closed"
    with pytest.raises(ModelError):
        await chosen.serve(chosen.models["m"], work)
    assert next(chosen.deployments()).breaker.state == "open"


async def test_throttling_opens_no_breaker() -> None:
    model = router("models: {m: {endpoint: a, breaker_failures: 1}}").models["m"]
    for _ in range(3):
        (await model.lease()).failed(Throttled("slow down"))
    assert model.deployments[0].breaker.allows()


FULL = "models: {m: {endpoint: a, max_concurrency: 1, queue_seconds: 60}}"


async def test_queues_are_first_come_first_served() -> None:
    model = router(FULL).models["m"]
    held, order = await model.lease(), []

    async def one(number: int) -> None:
        lease = await model.lease()
        order.append(number)
        await asyncio.sleep(0)
        lease.succeeded()

    tasks = [asyncio.create_task(one(number)) for number in range(500)]
    await asyncio.sleep(0)
    began = time.process_time()
    held.succeeded()
    await asyncio.gather(*tasks)
    assert order == sorted(order)
    assert time.process_time() - began < 2


async def test_who_leaves_a_queue_takes_no_place() -> None:
    model = router(FULL).models["m"]
    held = await model.lease()
    gone, late = asyncio.create_task(model.lease()), asyncio.create_task(model.lease())
    await asyncio.sleep(0)
    held.succeeded()
    # It has been handed the place already, and does not know yet.
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    (await late).succeeded()
    assert model.in_flight == 0


async def test_a_queue_outlives_a_reload() -> None:
    first = router(FULL)
    held = await first.models["m"].lease()
    second = Router(parse_config(FULL), first)
    first.retire(second)
    waiting = asyncio.create_task(second.models["m"].lease())
    await asyncio.sleep(0)
    held.succeeded()
    (await asyncio.wait_for(waiting, 5)).succeeded()


async def test_every_prompt_takes_a_place() -> None:
    model = router("models: {m: {endpoint: a, max_concurrency: 4}}").models["m"]
    lease = await model.lease(wanted=Wanted("complete", places=3))
    assert model.in_flight == 3
    with pytest.raises(GatewayError, match="concurrency limit"):
        await model.lease(wanted=Wanted("complete", places=3))
    lease.succeeded()
    # More prompts than places are answered one after the other.
    lease = await model.lease(wanted=Wanted("complete", places=9))
    assert model.in_flight == 4
    lease.succeeded()
    assert model.in_flight == 0


async def test_who_waits_takes_as_many_places_as_the_deployment_has() -> None:
    text = "models: {m: {queue_seconds: 60, deployments: [{endpoint: a, max_concurrency: 2}, "
    model = router(text + "{endpoint: b, max_concurrency: 10}]}}").models["m"]
    one, many = model.deployments
    held = [Lease(one, places=2), *(Lease(many) for _ in range(10))]
    waiting = asyncio.create_task(model.lease(wanted=Wanted(places=8)))
    await asyncio.sleep(0)
    # Two places of the large one are free, which are enough for none of its eight calls at once.
    for lease in held[1:8]:
        lease.given_up()
    await asyncio.sleep(0)
    assert not waiting.done()
    held[8].given_up()
    assert (await waiting).deployment is many
    assert many.in_flight == 2 + 8
    lease = asyncio.create_task(model.lease(wanted=Wanted(places=8)))
    await asyncio.sleep(0)
    held[0].given_up()
    assert (await lease).deployment is one
    assert one.in_flight == 2


async def test_one_endpoint_in_two_regions_is_two_deployments() -> None:
    text = "models: {m: {affinity: conversation, deployments: [%s]}}"
    twins = ", ".join(f"{{endpoint: llama, region: {region}, handler: tgi}}" for region in ("us-east-1", "eu-west-1"))
    health: list[tuple[str, str, bool]] = []
    chosen = Router(parse_config(text % twins), health=lambda *found: health.append(found))
    assert [one.label for one in chosen.deployments()] == ["llama@us-east-1", "llama@eu-west-1"]
    places = Counter()
    for number in range(400):
        lease = await chosen.models["m"].lease([], f"c{number}")
        places[lease.deployment.label] += 1
        lease.succeeded()
    assert min(places.values()) > 120
    next(chosen.deployments()).breaker.failed()
    assert health[:2] == [("m", "llama@us-east-1", True), ("m", "llama@eu-west-1", True)]


async def test_fastest_needs_no_token_counts() -> None:
    text = "models: {m: {routing: fastest, deployments: [{endpoint: a}, {endpoint: b}]}}"
    model = router(text).models["m"]
    for deployment, seconds in zip(model.deployments, (1.0, 10.0), strict=True):
        lease = Lease(deployment)
        lease.seconds = seconds
        lease.succeeded()
        lease.ended(200, 100, stream=False)
    assert {(await model.lease()).deployment.label for _ in range(20)} == {"a"}


def test_failures_and_headers_are_those_of_the_deployment_that_had_them(start, upstream) -> None:
    gateway = start(
        """
models:
  m:
    {endpoint: tgi--container-error-500, handler: tgi, format: chatml, drop_unsupported: true, attempts: 1,
     fallbacks: [n]}
  n: {endpoint: chat, handler: openai_chat, drop_unsupported: true}
"""
    )
    answer = gateway.post("/v1/chat/completions", HI | {"presence_penalty": 1})
    assert (answer.status, answer.headers.get("x-sagewire-dropped")) == (200, None)
    errors = [line for line in gateway.get("/metrics").data.decode().splitlines() if "upstream_errors_total{" in line]
    assert len(errors) == 1
    assert 'model="m"' in errors[0]


@pytest.mark.parametrize("stream", [False, True])
def test_fallbacks_and_their_header(start, upstream, stream: bool) -> None:
    gateway = start(
        """
models:
  m: {endpoint: facts--container-error-500, handler: openai_chat, fallbacks: [spare]}
  spare: {endpoint: chat, handler: openai_chat}
"""
    )
    answer = gateway.post("/v1/chat/completions", HI | {"stream": stream})
    assert (answer.status, answer.headers["x-sagewire-model"]) == (200, "spare")
    assert b"Hello" in answer.data
    assert [call.endpoint for call in upstream.calls][-1] == "chat"


def test_what_is_the_callers_fault_is_not_passed_on(start, upstream) -> None:
    gateway = start(
        """
models:
  m: {endpoint: facts--container-error-400, handler: openai_chat, fallbacks: [spare]}
  spare: {endpoint: chat, handler: openai_chat}
"""
    )
    assert gateway.post("/v1/chat/completions", HI).status == 400
    (deployment,) = gateway.gateway.router.models["m"].deployments
    assert deployment.breaker.state == "closed"


def test_an_unhealthy_deployment_is_left_alone(start, upstream) -> None:
    gateway = start(
        "models: {m: {endpoint: chat--container-error-500, handler: openai_chat, breaker_failures: 2, attempts: 1}}"
    )
    statuses = [gateway.post("/v1/chat/completions", HI) for _ in range(3)]
    assert [answer.status for answer in statuses] == [502, 502, 503]
    assert statuses[2].json()["error"]["code"] == "model_unavailable"
    assert 1 <= int(statuses[2].headers["retry-after"]) <= 30
    state = gateway.get("/status").json()["models"][0]["deployments"][0]
    assert state["state"] == "circuit_open"
    assert "container" in state["last_error"]


@each(
    ("failures", "state"),
    [
        ("", "not_asked"),
        # Throttled is not healthy, if there was nothing else, and says nothing about its health otherwise.
        ("throttled", "failing"),
        ("ok throttled", "healthy"),
        ("broken throttled", "failing"),
        ("broken ok", "healthy"),
        # An answer of which the first piece is there.
        ("begun", "healthy"),
        ("begun broken", "failing"),
    ],
)
def test_states_for_operators(failures: str, state: str) -> None:
    deployment = Deployment(DeploymentConfig(endpoint="m"))
    for kind in failures.split():
        lease = Lease(deployment)
        if kind == "begun":
            lease.answered()
        elif kind == "ok":
            lease.succeeded()
        else:
            lease.failed(Throttled("slow down") if kind == "throttled" else ModelError("broken", status=500))
    assert deployment.health == state
    assert ("slow down" in deployment.last_error) is failures.endswith("throttled")


def test_throttling_is_retried_and_then_passed_on(start, upstream) -> None:
    gateway = start(
        "models: {m: {endpoint: chat--throttle-1, handler: openai_chat},"
        " n: {endpoint: chat--throttle-99, handler: openai_chat, attempts: 1}}"
    )
    assert gateway.post("/v1/chat/completions", HI).status == 200
    answer = gateway.post("/v1/chat/completions", HI | {"model": "n"})
    assert (answer.status, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")


def test_ids_travel(start, upstream) -> None:
    gateway = start("models: {m: {endpoint: chat, handler: openai_chat, prefix_aware: true}}")
    answer = gateway.post("/v1/chat/completions", HI, x_request_id="my-own-id.1")
    assert answer.headers["x-request-id"] == "my-own-id.1"
    odd = gateway.post("/v1/chat/completions", HI, x_request_id="x" * 200)
    assert odd.headers["x-request-id"].startswith("req-")


def test_ids_travel_to_http_servers(start, upstream) -> None:
    gateway = start(f"models: {{m: {{url: '{upstream.container_url('chat')}'}}}}")
    assert gateway.post("/v1/chat/completions", HI, x_request_id="my-own-id.2").status == 200
    assert upstream.calls[-1].headers["x-request-id"] == "my-own-id.2"


def test_credentials_that_are_refused_are_not_the_callers(start, upstream) -> None:
    keys = "aws_access_key_id: AKIAWRONG, aws_secret_access_key: wrong, region: us-east-1"
    gateway = start(f"models: {{m: {{endpoint: chat, handler: openai_chat, {keys}}}}}")
    answer = gateway.post("/v1/chat/completions", HI)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_access_denied")


def test_other_accounts(models, start) -> None:
    from sagewire.emulator import EndpointSpec

    models.add("theirs", EndpointSpec("openai_chat", "echo", account=models.other_account))
    gateway = start(
        "models: {m: {endpoint: theirs, handler: openai_chat, region: us-east-1, session_tags: {team: search},"
        f" role_arn: '{models.role_arn}'}},"
        " n: {endpoint: theirs, handler: openai_chat, region: us-east-1}}"
    )
    assert gateway.post("/v1/chat/completions", HI).status == 200
    assert gateway.post("/v1/chat/completions", HI | {"model": "n"}).status == 502


def test_options_that_a_wire_lacks_can_be_left_out(start, upstream) -> None:
    text = "models: {m: {endpoint: tgi, handler: tgi, format: chatml, drop_unsupported: true}}"
    answer = start(text).post("/v1/chat/completions", HI | {"presence_penalty": 1, "top_k": 5})
    assert (answer.status, answer.headers["x-sagewire-dropped"]) == (200, "presence_penalty")
    assert upstream.calls[-1].json["parameters"]["top_k"] == 5


async def test_reloading_keeps_what_did_not_change() -> None:
    first = router("models: {m: {deployments: [{endpoint: a}, {endpoint: b}]}, n: {endpoint: c}}")
    lease = await first.models["m"].lease([], None)
    second = Router(parse_config("models: {m: {deployments: [{endpoint: b, weight: 2}, {endpoint: a}]}}"), first)
    before = {one.label: one for one in first.models["m"].deployments}
    after = {one.label: one for one in second.models["m"].deployments}
    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]
    lease.succeeded()
    assert lease.deployment.in_flight == 0


async def test_a_deployment_that_has_gone_is_not_reported_as_unhealthy() -> None:
    text = "models: {a: {endpoint: e, breaker_failures: 1}, b: {endpoint: f, breaker_failures: 1}}"
    gauge: dict[tuple[str, str], bool] = {}
    before = Router(
        parse_config(text), health=lambda model, deployment, closed: gauge.update({(model, deployment): closed})
    )
    late = await before.models["a"].lease()
    (await before.models["b"].lease()).failed(ModelError("down"))
    assert gauge == {("a", "e"): True, ("b", "f"): False}
    # Another setting makes another deployment of `a`; `b` is gone.
    after = Router(parse_config("models: {a: {endpoint: e, breaker_failures: 2}}"), before)
    before.retire(after)
    late.failed(ModelError("of the one before"))
    assert gauge == {("a", "e"): True, ("b", "f"): True}
    for _ in range(2):
        (await after.models["a"].lease()).failed(ModelError("down"))
    assert not gauge["a", "e"]
    await asyncio.sleep(0)


def test_reload_without_dropping_a_stream(start, until, upstream) -> None:
    import openai

    gateway = start("models: {m: {endpoint: slow, handler: openai_chat}}")
    with openai.OpenAI(base_url=gateway.url, api_key="x", max_retries=0) as client:
        words = " ".join(map(str, range(20)))
        stream = iter(
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": words}], stream=True)
        )
        text = next(stream).choices[0].delta.content or ""
        new = parse_config("models: {other: {endpoint: chat, handler: openai_chat}}")
        gateway.loop_call(lambda: gateway.gateway.reload(new))
        text += "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert words in text
        until(lambda: [model.id for model in client.models.list()] == ["other"])
