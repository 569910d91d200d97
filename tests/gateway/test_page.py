"""The page in a real Chromium: what it shows, a streamed chat, light and dark, and reading it aloud."""

import os
import shutil
from collections.abc import Iterator
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

CONFIG = """
models:
  chat: {endpoint: chat, handler: openai_chat, fallbacks: [tgi]}
  tgi: {endpoint: tgi, handler: tgi, format: chatml, max_concurrency: 8}
  slow: {endpoint: slow, handler: openai_chat}
  broken: {endpoint: chat--container-error-500, handler: openai_chat, breaker_failures: 1, attempts: 1}
aliases: {gpt-4o: chat}
"""


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
    browser.get(gateway.url)
    until(browser, lambda: "gpt-4o" in text_of(browser, "models"))
    shown = text_of(browser, "models")
    for words in ("not asked yet", "circuit open", "0 / 8", "ModelError"):
        assert words in shown
    say(browser, "chat", "Hello <b>there</b> & all")
    until(browser, lambda: "tokens, first after" in text_of(browser, "counts"))
    # The echo, and nothing of it as HTML.
    assert text_of(browser, "talk").count("Hello <b>there</b> & all") == 2
    assert browser.execute_script("return document.querySelectorAll('#talk span b').length") == 0
    assert '"model": "chat"' in text_of(browser, "code")
    tabs = browser.find_elements(By.CSS_SELECTOR, "[role=tab]")
    for tab, words in zip(tabs, ("curl ", "from openai", "ChatOpenAI", "OpenAILike"), strict=True):
        tab.click()
        assert words in text_of(browser, "code")
        assert gateway.url in text_of(browser, "code")
        assert tab.get_attribute("aria-selected") == "true"
    tabs[-1].send_keys(Keys.ARROW_RIGHT)
    assert "curl " in text_of(browser, "code")
    keep(browser, "light")
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def test_a_pattern_and_the_names_that_fit_it(browser: Any, start) -> None:
    gateway = start("models: {'any-*': {endpoint: '*', handler: openai_chat}}")
    browser.get(gateway.url)
    until(browser, lambda: "any-* any name that fits" in text_of(browser, "models"))
    gateway.post("/v1/chat/completions", {"model": "any-chat", "messages": [{"role": "user", "content": "x"}]})
    browser.refresh()
    until(browser, lambda: "any-chat healthy" in text_of(browser, "models"))
    say(browser, "any-chat", "Hello there")
    until(browser, lambda: "tokens, first after" in text_of(browser, "counts"))
    assert [option.text for option in Select(browser.find_element(By.ID, "model")).options] == ["any-chat"]


def test_a_running_stream_is_shown_and_can_be_stopped(browser: Any, start) -> None:
    gateway = start(CONFIG)
    browser.get(gateway.url)
    until(browser, lambda: "slow" in text_of(browser, "models"))
    say(browser, "slow", "word " * 300)
    until(browser, lambda: text_of(browser, "live") == "1")
    assert "slow chat" in text_of(browser, "requests")
    (deployment,) = gateway.gateway.router.models["slow"].deployments
    assert deployment.in_flight == 1
    browser.find_element(By.ID, "stop").click()
    until(browser, lambda: deployment.in_flight == 0)
    until(browser, lambda: text_of(browser, "live") == "0")
    assert browser.find_element(By.ID, "send").is_enabled()


def test_errors_and_keys(browser: Any, start) -> None:
    gateway = start(CONFIG + "\nserver: {master_key: sk-master-key}")
    browser.get(gateway.url)
    until(browser, lambda: "no API key" in text_of(browser, "notice"))
    field = browser.find_element(By.ID, "key")
    field.send_keys("sk-master-key", Keys.ENTER)
    until(browser, lambda: "not asked yet" in text_of(browser, "models"))
    say(browser, "broken", "Hi")
    until(browser, lambda: "the container answered 500" in text_of(browser, "talk"))
    assert browser.execute_script("return localStorage.length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read(browser: Any, start, scheme: str) -> None:
    gateway = start(CONFIG)
    gateway.post("/v1/chat/completions", {"model": "broken", "messages": [{"role": "user", "content": "x"}]})
    emulate(browser, scheme)
    browser.get(gateway.url)
    until(browser, lambda: "circuit open" in text_of(browser, "models"))
    say(browser, "tgi", "Hello")
    until(browser, lambda: "tokens" in text_of(browser, "counts"))
    keep(browser, scheme + "-chat")
    poor = browser.execute_script(CONTRAST)
    assert poor == [], f"too little contrast in {scheme} mode"
    # Every control has a name for those who cannot see it.
    tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = [
        node for node in tree if node["role"]["value"] in ("button", "textbox", "combobox", "spinbutton", "tab")
    ]
    assert len(controls) >= 8
    assert all(node["name"]["value"] for node in controls)


def test_narrow_windows_do_not_scroll_sideways(browser: Any, start) -> None:
    gateway = start(CONFIG)
    metrics = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(gateway.url)
    until(browser, lambda: "not asked yet" in text_of(browser, "models"))
    keep(browser, "narrow")
    width = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width[0] <= width[1]


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
