"""The page in a real Chromium: what it shows, a streamed chat, light and dark, and reading it aloud."""

import ast
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
selenium = pytest.importorskip("selenium")
if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("needs chromium and chromium-driver", allow_module_level=True)

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

from sagewire.gateway.accounting.tables import UsageRow  # noqa: E402
from sagewire.gateway.worker_states import WorkerStates  # noqa: E402

CONFIG = """
models:
  chat: {endpoint: chat, handler: openai_chat, fallbacks: [tgi]}
  tgi: {endpoint: tgi, handler: tgi, format: chatml, max_concurrency: 8}
  slow: {endpoint: slow, handler: openai_chat}
  broken: {endpoint: chat--container-error-500, handler: openai_chat, breaker_failures: 1, attempts: 1}
  embedding: {endpoint: embedding, embedding_handler: tei}
  reranker: {endpoint: reranker, rerank_handler: tei_rerank}
aliases: {gpt-4o: chat}
"""
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
COUNT_CALLS = "const real = fetch; window.asked = 0; window.fetch = (...a) => { window.asked++; return real(...a); }"
MASTER = "\nserver: {master_key: sk-master-key}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1200,1100"):
        options.add_argument(argument)
    options.add_argument("--disable-background-networking")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def until(browser: Any, condition: Any) -> Any:
    return WebDriverWait(browser, 15, poll_frequency=0.05).until(lambda _: condition())


def text_of(browser: Any, id: str) -> str:
    return browser.find_element(By.ID, id).text


def emulate(browser: Any, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def say(browser: Any, model: str, text: str) -> None:
    Select(browser.find_element(By.ID, "model")).select_by_visible_text(model)
    browser.find_element(By.ID, "prompt").send_keys(text, Keys.CONTROL, Keys.ENTER)


def keep(browser: Any, name: str) -> None:
    """Keep a picture for whoever wants to look: SAGEWIRE_PICTURES names the folder."""
    if folder := os.environ.get("SAGEWIRE_PICTURES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_models_chat_and_snippets(browser: Any, start) -> None:
    gateway = start(CONFIG)
    gateway.post("/v1/chat/completions", {"model": "broken", "messages": [{"role": "user", "content": "x"}]})
    browser.get_log("browser")
    browser.get(gateway.url)
    until(browser, lambda: "gpt-4o" in text_of(browser, "models"))
    shown = text_of(browser, "models")
    for words in ("not asked yet", "circuit open", "0 / 8", "M: ModelError"):
        assert words in shown
    assert text_of(browser, "summary") == "6 deployments: 5 not asked yet, 1 circuit open"
    assert not browser.find_element(By.ID, "workers").is_displayed()
    say(browser, "chat", "Hello <b>there</b> & all")
    until(browser, lambda: "tokens, first after" in text_of(browser, "counts"))
    # The echo, and nothing of it as HTML.
    assert text_of(browser, "talk").count("Hello <b>there</b> & all") == 2
    assert browser.execute_script("return document.querySelectorAll('#talk span b').length") == 0
    assert '"model": "chat"' in text_of(browser, "code")
    assert browser.find_element(By.ID, "task").get_attribute("value") == "chat"
    tabs = browser.find_elements(By.CSS_SELECTOR, "[role=tab]")
    for tab, words in zip(tabs, ("curl ", "from openai", "ChatOpenAI", "OpenAILike"), strict=True):
        tab.click()
        assert words in text_of(browser, "code")
        assert gateway.url in text_of(browser, "code")
        assert tab.get_attribute("aria-selected") == "true"
    tabs[-1].send_keys(Keys.ARROW_RIGHT)
    assert "curl " in text_of(browser, "code")
    tabs[0].send_keys(Keys.END)
    assert "OpenAILike" in text_of(browser, "code")
    tabs[-1].send_keys(Keys.HOME)
    assert "curl " in text_of(browser, "code")
    keep(browser, "light")
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def test_a_pattern_and_the_names_that_fit_it(browser: Any, start) -> None:
    gateway = start("models: {'any-*': {endpoint: '*', handler: openai_chat}}")
    browser.get(gateway.url)
    until(browser, lambda: "any-* any name that fits" in text_of(browser, "models"))
    # Nobody has asked for a name yet.
    assert not browser.find_element(By.ID, "model").is_displayed()
    browser.find_element(By.ID, "name").send_keys("any-chat")
    assert '"model": "any-chat"' in text_of(browser, "code")
    browser.find_element(By.ID, "prompt").send_keys("Hello there", Keys.CONTROL, Keys.ENTER)
    until(browser, lambda: "tokens, first after" in text_of(browser, "counts"))
    until(browser, lambda: "any-chat healthy" in text_of(browser, "models"))
    browser.find_element(By.ID, "clear").click()
    browser.find_element(By.ID, "name").clear()
    say(browser, "any-chat", "Hello again")
    until(browser, lambda: "tokens, first after" in text_of(browser, "counts"))
    assert [option.text for option in Select(browser.find_element(By.ID, "model")).options] == ["any-chat"]


def test_a_running_stream_is_shown_and_can_be_stopped(browser: Any, start) -> None:
    gateway = start(CONFIG)
    browser.get(gateway.url)
    until(browser, lambda: "slow" in text_of(browser, "models"))
    say(browser, "slow", "word " * 300)
    until(browser, lambda: text_of(browser, "live") == "1")
    assert "slow chat" in text_of(browser, "requests")
    until(browser, lambda: "slow healthy" in text_of(browser, "models"))
    (deployment,) = gateway.gateway.router.models["slow"].deployments
    assert deployment.in_flight == 1
    browser.find_element(By.ID, "stop").click()
    until(browser, lambda: deployment.in_flight == 0)
    until(browser, lambda: text_of(browser, "live") == "0")
    assert browser.find_element(By.ID, "send").is_enabled()


def test_errors_and_keys(browser: Any, start) -> None:
    gateway = start(CONFIG + MASTER)
    browser.get(gateway.url)
    until(browser, lambda: "needs an API key" in text_of(browser, "notice"))
    # Nothing that looks like "no requests".
    assert not browser.find_element(By.ID, "play").is_displayed()
    assert not browser.find_element(By.ID, "live").is_displayed()
    field = browser.find_element(By.ID, "key")
    field.send_keys("sk-wrong", Keys.ENTER)
    until(browser, lambda: "refuses this key" in text_of(browser, "notice"))
    assert field.get_attribute("aria-invalid") == "true"
    field.clear()
    field.send_keys("sk-master-key")
    browser.find_element(By.CSS_SELECTOR, "#login button").click()
    until(browser, lambda: "not asked yet" in text_of(browser, "models"))
    assert field.get_attribute("aria-invalid") is None
    until(browser, lambda: text_of(browser, "no-usage") == "No requests in this period.")
    say(browser, "broken", "Hi")
    until(browser, lambda: "the container answered 500" in text_of(browser, "talk"))
    # What happens from now on is shown.
    gateway.post("/v1/chat/completions", HELLO | {"model": "chat"}, authorization="Bearer sk-master-key")
    until(browser, lambda: "chat (gpt-4o) healthy" in text_of(browser, "models"))
    # To be sent again.
    assert browser.find_element(By.ID, "prompt").get_attribute("value") == "Hi"
    assert browser.execute_script("return localStorage.length") == 0


def test_embeddings_and_reranking(browser: Any, start) -> None:
    gateway = start(CONFIG)
    browser.get(gateway.url)
    until(browser, lambda: "reranker" in text_of(browser, "models"))
    say(browser, "embedding", "The sky is blue.")
    until(browser, lambda: "dimensions: " in text_of(browser, "talk"))
    assert "/v1/embeddings" in text_of(browser, "code")
    assert not browser.find_element(By.ID, "tokens").is_displayed()
    Select(browser.find_element(By.ID, "model")).select_by_visible_text("reranker")
    browser.find_element(By.ID, "prompt").send_keys("What is blue?", Keys.CONTROL, Keys.ENTER)
    # Nothing to rank yet.
    assert browser.switch_to.active_element.get_attribute("id") == "documents"
    assert text_of(browser, "talk") == ""
    browser.find_element(By.ID, "documents").send_keys("Grass is green.\nThe sky is blue.")
    browser.find_element(By.ID, "prompt").send_keys(Keys.CONTROL, Keys.ENTER)
    until(browser, lambda: "2 documents" in text_of(browser, "counts"))
    assert text_of(browser, "talk").count("The sky is blue.") == 1
    for tab in browser.find_elements(By.CSS_SELECTOR, "[role=tab]"):
        tab.click()
        assert "/v1/rerank" in text_of(browser, "code")


def test_usage_and_recent_requests(browser: Any, start) -> None:
    gateway = start(CONFIG)
    for model in ("chat", "tgi", "broken"):
        gateway.post(
            "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "secret words"}]}
        )
    until(browser, lambda: gateway.get("/status/usage").json()["total"]["requests"] == 3)
    browser.get(gateway.url)
    until(browser, lambda: "3, 1 error" in text_of(browser, "charts"))
    assert len(browser.find_elements(By.CSS_SELECTOR, "#charts svg[role=img][aria-label]")) == 4
    assert "broken 1 1" in text_of(browser, "by-model")
    assert "open 3 1" in text_of(browser, "by-key")
    recent = text_of(browser, "recent")
    assert "502 model_error" in recent
    assert "secret words" not in browser.page_source
    browser.find_element(By.ID, "only-failed").click()
    until(browser, lambda: "tgi" not in text_of(browser, "recent"))
    Select(browser.find_element(By.ID, "only-model")).select_by_visible_text("tgi")
    until(browser, lambda: "1, 0 errors" in text_of(browser, "charts"))
    # No keys to manage without a master key.
    assert not browser.find_element(By.ID, "keys").is_displayed()


def test_keys_are_made_limited_and_revoked(browser: Any, start) -> None:
    gateway = start(CONFIG + MASTER + "\nkeys: [{name: fixed, key: sk-fixed}, {name: shut, key: sk-shut, models: []}]")
    browser.get(gateway.url)
    browser.find_element(By.ID, "key").clear()
    browser.find_element(By.ID, "key").send_keys("sk-master-key", Keys.ENTER)
    until(browser, lambda: "in the configuration file" in text_of(browser, "key-table"))
    assert "shut none never" in text_of(browser, "key-table")
    browser.find_element(By.ID, "new-key").click()
    for id, text in (("key-name", "<i>alice</i>"), ("key-models", "chat, tgi"), ("key-rpm", "50")):
        browser.find_element(By.ID, id).send_keys(text)
    browser.find_element(By.ID, "key-expires").send_keys("soon")
    browser.find_element(By.ID, "key-save").click()
    until(browser, lambda: "duration" in text_of(browser, "dialog-error"))
    browser.find_element(By.ID, "key-expires").clear()
    browser.find_element(By.ID, "key-expires").send_keys("30d")
    browser.find_element(By.ID, "key-save").click()
    until(browser, lambda: "<i>alice</i> chat, tgi" in text_of(browser, "key-table"))
    secret = text_of(browser, "secret-text")
    assert gateway.get("/v1/models", authorization=f"Bearer {secret}").status == 200
    action(browser, "Edit")
    until(browser, lambda: browser.find_element(By.ID, "key-rpm").get_attribute("value") == "50")
    browser.find_element(By.ID, "key-rpm").clear()
    browser.find_element(By.ID, "key-budget").send_keys("5")
    keep(browser, "dialog")
    browser.find_element(By.ID, "key-save").click()
    until(browser, lambda: "$0 of $5.00" in text_of(browser, "key-table"))
    (key,) = gateway.gateway.store.all_keys()
    assert (key.requests_per_minute, key.max_budget, key.models) == (None, 5.0, ("chat", "tgi"))
    assert key.expires is not None
    action(browser, "Edit")
    browser.find_element(By.ID, "key-expires").send_keys("No end")
    browser.find_element(By.ID, "key-save").click()
    until(browser, lambda: "chat, tgi never" in text_of(browser, "key-table"))
    assert gateway.gateway.store.all_keys()[0].expires is None
    action(browser, "Block")
    until(browser, lambda: ", blocked" in text_of(browser, "key-table"))
    assert gateway.get("/v1/models", authorization=f"Bearer {secret}").status == 401
    action(browser, "Unblock")
    until(browser, lambda: ", blocked" not in text_of(browser, "key-table"))
    assert gateway.get("/v1/models", authorization=f"Bearer {secret}").status == 200
    action(browser, "Revoke")
    browser.find_element(By.CSS_SELECTOR, "#revoke-dialog [value=revoke]").click()
    until(browser, lambda: "alice" not in text_of(browser, "key-table"))
    assert gateway.get("/v1/models", authorization=f"Bearer {secret}").status == 401


def action(browser: Any, name: str) -> None:
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    browser.find_element(By.XPATH, f"//table[@id='key-table']//button[text()='{name}']").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read(browser: Any, start, scheme: str) -> None:
    gateway = start(CONFIG + MASTER + "\nkeys: [{name: team, key: sk-team, max_budget: 5, budget_duration: 30d}]")
    ask = {"model": "broken", "messages": [{"role": "user", "content": "x"}]}
    gateway.post("/v1/chat/completions", ask, authorization="Bearer sk-team")
    fill(gateway)
    emulate(browser, scheme)
    browser.get(gateway.url)
    browser.find_element(By.ID, "key").clear()
    browser.find_element(By.ID, "key").send_keys("sk-master-key", Keys.ENTER)
    until(browser, lambda: "circuit open" in text_of(browser, "models"))
    until(browser, lambda: "team" in text_of(browser, "key-table"))
    say(browser, "tgi", "Hello")
    until(browser, lambda: "tokens" in text_of(browser, "counts"))
    until(browser, lambda: browser.find_element(By.ID, "hours").is_displayed())
    Select(browser.find_element(By.ID, "hours")).select_by_value("168")
    until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "#charts figure:first-child .hit")) == 28)
    for width in (1280, 390):
        metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        height = browser.execute_script("return document.documentElement.scrollHeight")
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics | {"height": height})
        keep(browser, f"{scheme}-{width}")
        shown = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        poor = browser.execute_script(CONTRAST)
        assert shown[0] <= shown[1]
        assert browser.execute_script(WIDE) == []
        assert poor == [], f"too little contrast in {scheme} mode"
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    # Every control has a name for those who cannot see it.
    tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = ("button", "textbox", "combobox", "spinbutton", "tab", "checkbox", "image")
    controls = [node for node in tree if node["role"]["value"] in roles]
    assert len(controls) >= 15
    assert all(node["name"]["value"] for node in controls)
    regions = [node["name"]["value"] for node in tree if node["role"]["value"] == "region"]
    assert len(set(regions)) == len(regions) >= 5
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    # The answers that are errors are logged, too.
    assert [entry for entry in severe if "Failed to load resource" not in entry["message"]] == []


def fill(gateway: Any) -> None:
    """Give the charts a week of usage."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = []
    for hours in range(150):
        busy = 40 + hours * 7 % 60
        latencies = (0, 0, busy // 4, busy // 2, busy // 4, hours % 5, 0, 0, 0, 0, 0, 0)
        for number, (key, model) in enumerate((("team", "chat"), ("team", "tgi"), ("master", "chat"))):
            counts = (busy // (number + 1), hours % 4, 0, busy * 300, busy * 120, busy * 250_000)
            rows.append(UsageRow(now - timedelta(hours=hours), key, model, *counts, latencies))
    gateway.gateway.store.add_usage(rows)


# WCAG 2.2, 1.4.3: text needs a contrast of 4.5 to its background.
CONTRAST = """
const light = c => { const v = c.map(x => { x /= 255; return x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4; });
  return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
const parse = text => text.match(/[\\d.]+/g).map(Number);
const ground = element => { for (let e = element; e; e = e.parentElement) {
  const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c.slice(0, 3); }
  return [255, 255, 255]; };
const poor = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!own || element.disabled || !element.offsetParent || element.closest("script")) continue;
  const a = light(parse(getComputedStyle(element).color).slice(0, 3)), b = light(ground(element));
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) poor.push([element.tagName, element.textContent.slice(0, 30), ratio.toFixed(2)]);
}
return poor;
"""


# Tables of which a part is out of sight at the side.
WIDE = """return [...document.querySelectorAll(".scroll")].filter(one => one.offsetParent &&
  one.scrollWidth > one.clientWidth + 1).map(one => one.firstElementChild.id)"""


def test_states_of_several_workers(browser: Any, start, tmp_path: Path) -> None:
    asked, other = (start(CONFIG, workers=3) for _ in range(2))
    other.post("/v1/chat/completions", HELLO | {"model": "broken"})
    # As if it were another process; one that is there.
    states = WorkerStates(lambda: other.gateway.router, other.gateway.live, os.getppid())
    for one in (asked.gateway.states, states):
        one.join(tmp_path)
    states.write()
    browser.get(asked.url)
    until(browser, lambda: "circuit open (1 of 2 workers)" in text_of(browser, "models"))
    assert text_of(browser, "workers") == "2 of 3 workers have reported their states."
    assert "0 / 16" in text_of(browser, "models")
    keep(browser, "workers")


def test_many_models_and_a_phone(browser: Any, start) -> None:
    many = "".join(f"  m{number:02}: {{endpoint: chat, handler: openai_chat}}\n" for number in range(40))
    broken = "  z-broken: {endpoint: chat--container-error-500, handler: openai_chat, attempts: 1}\n"
    gateway = start("models:\n" + many + broken, workers=3)
    gateway.post("/v1/chat/completions", HELLO | {"model": "z-broken"})
    gateway.post("/v1/chat/completions", HELLO | {"model": "m07"})
    phone = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.get(gateway.url)
    until(browser, lambda: "41 deployments: 39 not asked yet, 1 healthy, 1 failing" in text_of(browser, "summary"))
    assert text_of(browser, "workers") == "1 of 3 workers have reported their states."
    # The one in trouble comes first; its card has the names of the columns.
    first = browser.find_element(By.CSS_SELECTOR, "#models tbody tr")
    assert first.text.startswith("z-broken")
    label = "return getComputedStyle(arguments[0].cells[1], '::before').content"
    assert browser.execute_script(label, first) == '"State"'
    assert browser.execute_script(WIDE) == []
    tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = [node["role"]["value"] for node in tree]
    assert roles.count("columnheader") >= 5
    assert roles.count("row") > 41
    browser.find_element(By.ID, "find").send_keys("HEALTHY")
    until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "#models tbody tr")) == 1)
    assert "m07" in text_of(browser, "models")
    browser.find_element(By.ID, "find").clear()
    browser.find_element(By.ID, "find").send_keys("nowhere")
    until(browser, lambda: "None of this name" in text_of(browser, "models"))
    keep(browser, "phone")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_is_selected_stays_and_updates_can_be_paused(browser: Any, start) -> None:
    gateway = start(CONFIG)
    gateway.post("/v1/chat/completions", HELLO | {"model": "chat"})
    until(browser, lambda: len(gateway.get("/status/requests").json()["requests"]) == 1)
    browser.get(gateway.url)
    until(browser, lambda: "200" in text_of(browser, "recent"))
    place = browser.find_element(By.CSS_SELECTOR, "#models tbody td")
    browser.execute_script("getSelection().selectAllChildren(arguments[0])", place)
    browser.execute_script(COUNT_CALLS)
    until(browser, lambda: browser.execute_script("return window.asked") >= 2)
    assert browser.execute_script("return String(getSelection())").startswith("chat")
    pause = browser.find_element(By.ID, "pause")
    pause.click()
    assert pause.get_attribute("aria-pressed") == "true"
    gateway.post("/v1/chat/completions", HELLO | {"model": "broken"})
    assert "circuit open" not in text_of(browser, "models")
    pause.click()
    until(browser, lambda: "circuit open" in text_of(browser, "models"))


def test_names_of_any_kind(browser: Any, start, upstream) -> None:
    names = ['it\'s "one" <b>x</b>', "\u202egpj.exe", "long" * 50]
    text = json.dumps({
        "models": {name: {"endpoint": "chat", "handler": "openai_chat"} for name in names},
        "keys": [{"name": f"key {name}", "key": f"sk-{number}"} for number, name in enumerate(names)],
        "server": {"master_key": "sk-master-key"},
    })  # fmt: skip
    gateway = start(text)
    browser.get(gateway.url)
    browser.find_element(By.ID, "key").send_keys("sk-master-key", Keys.ENTER)
    until(browser, lambda: "key it's" in text_of(browser, "key-table"))
    # What turns text around is written out; nothing is HTML; no column is out of sight.
    for table in ("models", "key-table"):
        shown = text_of(browser, table)
        assert names[0] in shown
        assert "\\u202egpj.exe" in shown
        assert browser.execute_script(f"return document.querySelectorAll('#{table} td b').length") == 0
    assert browser.execute_script(WIDE) == []
    offered = [one.get_attribute("value") for one in browser.find_elements(By.CSS_SELECTOR, "#model option")]
    chooser = Select(browser.find_element(By.ID, "model"))
    chooser.select_by_index(offered.index(names[0]))
    # Copied into a shell, it is that name and nothing else.
    words = shlex.split(text_of(browser, "code").replace("\\\n", " "))
    assert json.loads(words[words.index("-d") + 1])["model"] == names[0]
    browser.find_element(By.XPATH, "//*[@role='tab'][text()='openai']").click()
    for name in names[:2]:
        chooser.select_by_index(offered.index(name))
        program = ast.walk(ast.parse(text_of(browser, "code")))
        assert name in [one.value for one in program if isinstance(one, ast.Constant)]
    keep(browser, "names")
