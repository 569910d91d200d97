"""Foreign templates that are hostile: bounded in memory and time, and kept away from Python."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sagewire import UsageError
from sagewire.prompt_formats.chat_template import load_format

HELLO = [{"role": "user", "content": "Hello"}]


def render(text, messages=HELLO, **options):
    return load_format({"chat_template": text}, strict=False, **options).render(messages)


@pytest.mark.slow
def test_bombs_and_escapes_are_bounded():
    program = Path(__file__).with_name("hostile_templates.py")
    # The time of the processor is measured: a busy machine takes none of it.
    ran = subprocess.run([sys.executable, program, "0.3"], capture_output=True, check=True, text=True)
    found = json.loads(ran.stdout)
    outcomes = found["outcomes"]
    assert len(outcomes) > 200
    slow = {name: outcome for name, outcome in outcomes.items() if outcome["seconds"] > 8}
    assert not slow
    assert found["kilobytes"] < 600_000
    for name, outcome in outcomes.items():
        assert outcome["size"] <= 8 << 20, name
        assert "MemoryError" not in outcome["refused"], name
    for name in found["escapes"]:
        for sign in ("<class", "<frame", "<code", "__main__", "root:", "object at 0x"):
            assert sign not in outcomes[name]["text"], name


HOSTILE = {
    "nested loops": "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "loops that select": "{% for i in range(100000) %}{% for j in range(100000) if false %}{% endfor %}{% endfor %}",
    "comparisons": "{% set x = ['a'] * 999999 %}{% set y = ['a'] * 999999 %}{% for i in range(100000) %}"
    "{% if x == y %}{% endif %}{% endfor %}",
    "copies": "{% set x = ['a'] * 999999 %}{% for i in range(100000) %}{% set y = x[1:] %}{% endfor %}",
    "recursive macros": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "recursive loops": "{% for i in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "multiplied text": "{{ 'a' * 10**9 }}",
    "multiplied lists": "{% set x = [0] * 10**9 %}",
    "powers": "{{ 10**10**10 }}",
    "squares": "{% set n = namespace(x=9) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "doubled text": "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "added text": "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "doubled lists": "{% set n = namespace(x=['a']) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "nested pairs": "{% set n = namespace(x='a') %}{% for i in range(50) %}{% set n.x = [n.x, n.x] %}{% endfor %}"
    "{{ n.x }}",
    "output": "{% for i in range(100000) %}{% for j in range(9999) %}{{ 'a' * 999 }}{% endfor %}{% endfor %}",
    "data": "{% for i in range(100000) %}{% for j in range(99999) %}" + "x" * 999 + "{% endfor %}{% endfor %}",
    "output of macros": "{% set s = 'a' * 999999 %}{% macro f() %}{% for i in range(100000) %}{{ s }}{% endfor %}"
    "{% endmacro %}{% set y = f() %}",
    "kept values": "{% set n = namespace(l=[]) %}{% for i in range(99999) %}{% set n.l = n.l + ['a' * 999999] %}"
    "{% endfor %}",
    "replace filter": "{% set s = 'a' * 999999 %}{{ s | replace('a', s) }}",
    "replace method": "{% set s = 'a' * 999999 %}{{ s.replace('a', s) }}",
    "format filter": "{{ '%9999999d' | format(1) }}",
    "format filter of many": "{% set s = 'a' * 9999999 %}{{ '%s%s%s%s' | format(s, s, s, s) }}",
    "slow filter": "{% set s = 'a ' * 999999 %}{{ s | wordwrap(1) }}",
    "join filter": "{{ range(99999) | join('a' * 999999) }}",
    "join method": "{{ ('a' * 999999).join(range(99999) | map('string')) }}",
    "indent": "{{ ('\n' * 99999) | indent(9999) }}",
    "indented JSON": "{{ [1] | tojson(indent=10**9) }}",
    "padding": "{{ 'a'.ljust(10**9) }}",
    "format": "{{ '{:>1000000000}'.format('a') }}",
    "format with a variable width": "{{ '{:{}}'.format('a', 10**9) }}",
    "percent": "{{ '%1000000000d' % 3 }}",
    "percent with a variable width": "{{ '%*d' % (10**9, 3) }}",
    "strftime": "{{ strftime_now('%1000000000d') }}",
    "range": "{{ range(10**9) | list }}",
    "rounding": "{{ 1.5 | round(10**9, 'ceil') }}",
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "blocks": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "size": "x" * 600_000,
}


def test_what_is_too_much_for_two_words_is_tried_once(monkeypatch):
    asked = []
    text = "{% set x = asked(1) %}{{ 'a' * 10**9 }}"
    fmt = load_format({"chat_template": text}, strict=False)
    environment = pytest.importorskip("sagewire.prompt_formats.chat_template.sandbox")._environment()
    monkeypatch.setitem(environment.globals, "asked", asked.append)
    for _ in range(3):
        with pytest.raises(UsageError, match="larger than"):
            fmt.render([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}])
    assert len(asked) == 1


def test_long_texts_in_formats_are_fine():
    long = "x" * 100_000
    template = "{{ '%s: %s' % (messages[0].role, messages[0].content) }}{{ '{}'.format(messages[0].content) }}"
    assert render(template, [{"role": "user", "content": long}]) == f"user: {long}{long}"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_stopped(name):
    with pytest.raises(UsageError):
        render(HOSTILE[name], limits={"seconds": 0.5})


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__init__.__globals__ }}",
        "{{ raise_exception.__globals__.datetime }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ self._TemplateReference__context.environment.loader.x }}",
        "{{ '{0.__class__.__mro__}'.format('a') }}",
        "{{ ['a'] | map(attribute='__class__.__mro__') | first | first }}",
        "{% set n = namespace() %}{% set n.__class__ = 1 %}",
        "{{ namespace(__class__=1) }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{{ lipsum(n=3) }}",
        "{{ '' | attr('__class__') }}",
    ],
)
def test_templates_cannot_reach_python(text):
    with pytest.raises(UsageError):
        render(text)


def test_the_limits_can_be_set():
    assert len(render("{{ 'a' * 2000 }}", messages=[])) == 2000
    with pytest.raises(UsageError, match="larger than 1000"):
        render("{{ 'a' * 2000 }}", limits={"value": 1000})
    with pytest.raises(UsageError, match="longer than 5"):
        render("123456", limits={"template": 5})
    with pytest.raises(UsageError, match="limits are"):
        render("x", limits={"memory": 5})
