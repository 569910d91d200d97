# ruff: noqa: E501, UP031
"""Templates that would take a machine down, or reach Python, if nothing bounded them.

Run as a program: renders all of them and prints, as JSON, what became of each and what that took.
"""

import gc
import json
import resource
import sys
import time

from jinja2 import TemplateError

from sagewire.prompt_formats.chat_template.budget import TemplateLimits
from sagewire.prompt_formats.chat_template.sandbox import compile_template, render_template

BIG = "{% set s = 'a' * 4000000 %}"
LIST = "{% set l = range(90000) | list %}"
WIDE = "{% set n = namespace(x='a' * 4000000) %}{% for i in range(30) %}{% set m = namespace(y=n.x, z=n.x) %}{% set n.x = m %}{% endfor %}"

BOMBS = {
    "percent product": BIG + "{{ '%s%s%s' % (s,s,s) }}",
    "percent dict x n": BIG + "{{ ('%(a)s'*900) % {'a': s} }}",
    "percent a unicode": "{% set s='\u20ac'*4000000 %}{{ '%a' % s }}",
    "percent 999 dict": "{{ ('%(a)999d'*300000) % {'a':1} }}",
    "percent .999f": "{{ ('%.999f'*100000) % ((1.5,)*100000) }}",
    "percent width unicode digits": "{{ '%٩٩٩٩٩d' % 1 }}",
    "percent huge prec": "{{ '%.999999999d' % 1 }}",
    "format 999 many": "{{ ('{0:>999}'*200000).format(1) }}",
    "format nested width": "{{ '{0:{1}}'.format('a', 99999999) }}",
    "format map via attr": "{{ ('{a:>99999999}'|attr('format'))(a=1) }}",
    "format via map": "{{ ['{0:>99999999}']|map('format', 1)|list }}",
    "format unicode digits": "{{ '{:>٩٩٩٩٩٩٩٩}'.format(1) }}",
    "format precision": "{{ '{:.99999999f}'.format(1.5) }}",
    "format auto numbering": BIG + "{{ '{}{}{}{}'.format(s,s,s,s) }}",
    "brace regex": "{{ ('{'~':'*4000000).format(1) }}",
    "brace regex4": "{{ ('{:'*2000000).format(1) }}",
    "percent regex2": "{{ ('%'~' '*4000000) % 1 }}",
    "percent regex3": "{{ ('%'~'1 '*2000000) % 1 }}",
    "strftime": "{{ strftime_now('%c'*400000) }}",
    "strftime 2": "{{ strftime_now('%999d'*100000) }}",
    "strftime 3": "{{ strftime_now('%_999d'*100000) }}",
    "strftime 5": "{{ strftime_now('%^999999999c') }}",
    "strftime loop": "{% set f='%c'*9999 %}{% for i in range(99999) %}{% set x=strftime_now(f) %}{% endfor %}",
    "star loop": BIG + "{% for i in range(9999) %}{% set y = s*2 %}{% endfor %}",
    "tuple product nested": "{% set t=(1,)*2000 %}{% set t=(t,)*2000 %}{% set t=(t,)*2000 %}{{ t }}",
    "int product": "{% set n=namespace(x=2) %}{% for i in range(9999) %}{% set n.x=n.x*n.x %}{% endfor %}",
    "pow neg": "{{ (-1000)**1000 }}",
    "int of text": "{{ ('9'*4000000)|int }}",
    "int base loops": "{% set s='f'*1000000 %}{% for i in range(9999) %}{% set y=s|int(0,16) %}{% endfor %}",
    "range big": "{{ range(99999999999)|length }}",
    "range nested": "{% for i in range(99999) %}{% set x=range(99999)|list %}{% endfor %}",
    "range in": "{% for i in range(99999) %}{% if 'x' in range(99999) %}{% endif %}{% endfor %}",
    "in list of lists": "{% set l=[[[['a']*100]*100]*10]*9 %}{% for i in range(99999) %}{% if l in [l[:],1,2] %}{% endif %}{% endfor %}",
    "compare text": BIG + "{% set t='a'*4000000 %}{% for i in range(99999) %}{% if s==t %}{% endif %}{% endfor %}",
    "compare lt lists": LIST
    + "{% set m=range(90000)|list %}{% for i in range(99999) %}{% if l<m %}{% endif %}{% endfor %}",
    "chain compare": BIG
    + "{% set t='a'*4000000 %}{% for i in range(99999) %}{% if s==t==s==t==s==t %}{% endif %}{% endfor %}",
    "many compares2": "{% set x = ['a'] * 4000000 %}{% set y = ['a'] * 4000000 %}{{ [x==y" + ",x==y" * 3000 + "] }}",
    "many tests": "{% set x = ['a'] * 4000000 %}{% set y = ['a'] * 4000000 %}{{ "
    + " and ".join(["x is eq y"] * 3000)
    + " }}",
    "select eq": "{% set x = ['a'] * 4000000 %}{% set y = ['a'] * 4000000 %}{{ ([x]*2)|select('eq', y)|list|length }}",
    "slices": BIG + "{% for i in range(99999) %}{% set y=s[1:] %}{% endfor %}",
    "kept slices": BIG
    + "{% set n=namespace(a=none) %}{% for i in range(5000) %}{% set m=namespace(p=n.a, s=s[1:]) %}{% set n.a=m %}{% endfor %}",
    "kept namespaces": BIG
    + "{% set n=namespace(a=none) %}{% for i in range(5000) %}{% set m=namespace(p=n.a, s=s.upper()) %}{% set n.a=m %}{% endfor %}",
    "kept splits": "{% set s='ab '*1000000 %}{% set n=namespace(a=none) %}{% for i in range(5000) %}{% set m=namespace(p=n.a, s=s.split()) %}{% set n.a=m %}{% endfor %}",
    "kept list chars": "{% set s='€'*1000000 %}{% set n=namespace(a=none) %}{% for i in range(5000) %}{% set m=namespace(p=n.a, s=s|list) %}{% set n.a=m %}{% endfor %}",
    "kept dicts": "{% set n=namespace(a=none) %}{% for i in range(90000) %}{% for j in range(9000) %}{% set m=namespace(p=n.a) %}{% set n.a=m %}{% endfor %}{% endfor %}",
    "kept macros": "{% set n=namespace(a=none) %}{% for i in range(90000) %}{% for j in range(9000) %}{% macro f() %}{% endmacro %}{% set m=namespace(p=n.a,f=f) %}{% set n.a=m %}{% endfor %}{% endfor %}",
    "kept bound methods": "{% set n=namespace(a=none) %}{% for i in range(90000) %}{% for j in range(9000) %}{% set n.a=[n.a].copy %}{% endfor %}{% endfor %}",
    "kept astral": "{% set s='😀'*4000000 %}{% set n=namespace(a=none) %}{% for i in range(5000) %}{% set m=namespace(p=n.a, s=s.upper()) %}{% set n.a=m %}{% endfor %}",
    "kept generators": "{% set n=namespace(a=messages) %}{% for i in range(9000) %}{% set n.a=n.a|map('upper') %}{% endfor %}{{ n.a|list }}",
    "split loops": "{% set s='a '*1000000 %}{% for i in range(9999) %}{% set x=s.split() %}{% endfor %}",
    "join product": "{{ (['a'*1000]*1000)|join('b'*1000) }}",
    "join chars": BIG + "{{ s|join(s) }}",
    "join self loop": "{% set n=namespace(x='ab') %}{% for i in range(99) %}{% set n.x=n.x|join(n.x) %}{% endfor %}",
    "replace growth": "{% set n=namespace(x='ab') %}{% for i in range(99) %}{% set n.x=n.x|replace('a',n.x) %}{% endfor %}",
    "replace empty old": BIG + "{{ s.replace('', s) }}",
    "replace via map": BIG + "{{ [s]|map('replace','a',s)|list }}",
    "replace via attr": BIG + "{{ (s|attr('replace'))('a', s) }}",
    "replace via subscript": BIG + "{{ s['replace']('a', s) }}",
    "replace bound": BIG + "{% set r=s.replace %}{{ r('a', s) }}",
    "indent text width": "{{ ('\n'*5000)|indent('a'*9000) }}",
    "indent via map": "{{ ['\n'*500000]|map('indent', 9999, true, true)|list }}",
    "center product": "{% for i in range(99999) %}{% set x='a'|center(9999) %}{% endfor %}",
    "center map join": "{{ (['a']*90000)|map('center', 9999)|join }}",
    "zfill via attr": "{{ ('a'|attr('zfill'))(10**9) }}",
    "expandtabs": "{{ ('\t'*9999).expandtabs(9999) }}",
    "translate": "{{ ('a'*999999).translate({97:'b'*9999}) }}",
    "encode": "{{ 'a'.encode()|list }}",
    "to_bytes kw": "{{ (1).to_bytes(length=1000000000, byteorder='big')|length }}",
    "to_bytes loop": "{% for i in range(99) %}{% set x=(1).to_bytes(100000000,'big') %}{% endfor %}",
    "rfind quadratic": "{% set s='a'*4000000 %}{% set t='b'~'a'*2000000 %}{{ s.rfind(t) }}",
    "rsplit quadratic": "{% set s='a'*4000000 %}{% set t='b'~'a'*2000000 %}{{ s.rsplit(t)|length }}",
    "rpartition quadratic": "{% set s='a'*4000000 %}{% set t='b'~'a'*2000000 %}{{ s.rpartition(t)|length }}",
    "strip quad": "{% set s='b'*4000000 %}{% set t='a'*4000000~'b' %}{{ s.strip(t) }}",
    "trim quad": "{% set s='b'*4000000 %}{% set t='a'*4000000~'b' %}{{ s|trim(t) }}",
    "upper growth": "{% set n=namespace(x='ΐ'*1000000) %}{% for i in range(9) %}{% set n.x=n.x.upper() %}{% endfor %}{{ n.x|length }}",
    "casefold": "{{ ('ß'*4000000).casefold()|length }}",
    "sort long": "{% set n=namespace(l=[]) %}{% for i in range(100) %}{% set n.l=n.l+['a'*60000~i] %}{% endfor %}{% for i in range(9999) %}{% set x=n.l|sort %}{% endfor %}",
    "sort nested": "{% set l=[['a']*900]*900 %}{% for i in range(999) %}{% set x=l|sort %}{% endfor %}",
    "sum lists big": "{{ ([[1]*9]*90000)|sum(start=[])|length }}",
    "unique": "{% set l=['a'*80]*90000 %}{% for i in range(999) %}{% set x=l|unique|list %}{% endfor %}",
    "fromjson collide": "{% set x %}{% for i in range(90000) %}{{ i*(2**61-1) }},{% endfor %}{% endset %}{{ ('['~x~'0]')|fromjson|unique|list|length }}",
    "fromjson deep": "{{ ('['*4000000)|fromjson }}",
    "fromjson int": "{{ ('9'*4000000)|fromjson }}",
    "fromjson bigger": "{{ ('['~'{},'*2500000~'1]')|fromjson|length }}",
    "tojson deep": "{% set n=namespace(x=1) %}{% for i in range(5000) %}{% set n.x=[n.x] %}{% endfor %}{{ n.x|tojson }}",
    "tojson wide": "{% set n=namespace(x=1) %}{% for i in range(50) %}{% set n.x=[n.x,n.x] %}{% endfor %}{{ n.x|tojson }}",
    "tojson text indent": "{{ ([1]*9000)|tojson(indent='a'*9000) }}",
    "tojson separators2": "{{ ([1]*900000)|tojson(separators=['a'*900000,'b']) }}",
    "tojson unicode big": "{{ ('\U0001f600'*4000000)|tojson(ensure_ascii=true)|length }}",
    "pprint wide": "{% set n=namespace(x=1) %}{% for i in range(50) %}{% set n.x=[n.x,n.x] %}{% endfor %}{{ n.x|pprint }}",
    "pprint big": "{{ (['a']*160000)|pprint|length }}",
    "wordwrap": "{{ ('a '*999999)|wordwrap(1) }}",
    "wordwrap str": "{{ ('a'*99999)|wordwrap(1, wrapstring='b'*9999) }}",
    "truncate loop": "{% set s='a '*4000000 %}{% for i in range(99999) %}{% set x=s|truncate(5) %}{% endfor %}",
    "batch 9999": "{{ range(9)|batch(9999, 'a'*4000)|list }}",
    "slice filter": "{{ [1]|slice(10**9)|list }}",
    "slice filter fill": "{{ [1]|slice(9999, 'x'*4000)|list }}",
    "urlize": "{{ ('http://a.b '*9999)|urlize }}",
    "urlize hard3": "{{ ('a@'*40000)|urlize }}",
    "striptags comments": "{{ ('<!--'*1000000)|striptags }}",
    "xmlattr": "{{ {'a':'<'*1000000}|xmlattr|length }}",
    "escape": "{{ ('<'*900000)|e|e|e|e|length }}",
    "urlencode loops": "{% set s='\u20ac'*90000 %}{% for i in range(9999) %}{% set x=s|urlencode %}{% endfor %}",
    "markup mul": "{{ ('a'|safe)*10**9 }}",
    "markup percent": "{{ ('%999999999d'|safe) % 1 }}",
    "markup format method": "{{ ('{0:>999999999}'|safe).format(1) }}",
    "markup join": "{{ ('<'|safe).join(['<'*4000000]*3)|length }}",
    "ns wide str": WIDE + "{{ n }}",
    "ns wide fmt2": WIDE + "{{ '{}'.format(n) }}",
    "ns wide raise": WIDE + "{{ raise_exception(n) }}",
    "cycle ns str": "{% set n=namespace(x=[]) %}{% set n.x=[n] %}{{ n }}",
    "cycler wide": "{% set n=namespace(x='a'*4000000) %}{% for i in range(30) %}{% set n.x=cycler(n.x,n.x) %}{% endfor %}{{ n.x }}{{ [n.x]|string }}",
    "dict items wide": "{% set n=namespace(x={'a':'b'}) %}{% for i in range(30) %}{% set n.x={'a':n.x,'b':n.x}.items() %}{% endfor %}{{ n.x|string }}",
    "dict values wide": "{% set n=namespace(x={'a':'b'}) %}{% for i in range(30) %}{% set n.x={'a':n.x,'b':n.x}.values() %}{% endfor %}{{ n.x }}",
    "macro wide str": "{% macro f() %}{{ 'a'*4000000 }}{% endmacro %}{% for i in range(999) %}{% set x=f() %}{% endfor %}",
    "macro mutual": "{% macro f() %}{{ g() }}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "macro tree": "".join(
        "{%% macro f%d() %%}%s{%% endmacro %%}" % (i, ("{{ f%d() }}" % (i + 1)) * 9) for i in range(20)
    )
    + "{% macro f20() %}{% endmacro %}{{ f0() }}",
    "macro caller": "{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call f() %}" * 40
    + "x"
    + "{% endcall %}" * 40,
    "macro default args": "{% macro f(a='a'*4000000) %}{{ f(a~a) }}{% endmacro %}{{ f() }}",
    "call star str": BIG + "{{ dict(*s) }}",
    "recursive loop": "{% for i in [1,1] recursive %}{{ loop([1,1,1]) }}{% endfor %}",
    "recursive loop deep": "{% set n=namespace(x=[]) %}{% for i in range(50) %}{% set n.x=[n.x,n.x] %}{% endfor %}{% for i in n.x recursive %}{{ loop(i) }}{% endfor %}",
    "loop over text": BIG + "{% for c in s %}{% for d in s %}{% endfor %}{% endfor %}",
    "loop cycle": BIG + "{% for i in range(90000) %}{% set x=loop.cycle(s,s) %}{% endfor %}",
    "set block doubling": "{% set n=namespace(x='a') %}{% for i in range(60) %}{% set y %}{{n.x}}{{n.x}}{% endset %}{% set n.x=y %}{% endfor %}{{ n.x|length }}",
    "set block filter": "{% set x|upper %}{% for i in range(90000) %}" + "a" * 9000 + "{% endfor %}{% endset %}",
    "filter block": "{% filter upper %}{% for i in range(90000) %}" + "a" * 9000 + "{% endfor %}{% endfilter %}",
    "block self": "{% block a %}{{ self.a() }}{% endblock %}",
    "block tree": "".join(
        "{%% block a%d %%}{%% if 0 %%}{%% endif %%}%s{%% endblock %%}" % (i, ("{{ self.a%d() }}" % (i + 1)) * 9)
        for i in range(20)
    )
    + "{% block a20 %}{% endblock %}",
    "autoescape": "{% autoescape true %}{{ '<'*4000000 }}{% endautoescape %}",
    "float inf 2": "{% if 1e999 > 1 %}x{% endif %}",
    "tuple hash": "{% set n=namespace(x=()) %}{% for i in range(58) %}{% set n.x=(n.x,n.x) %}{% endfor %}{{ {n.x:1}|length }}",
    "tuple eq": "{% set n=namespace(x=(),y=()) %}{% for i in range(20) %}{% set n.x=(n.x,n.x) %}{% set n.y=(n.y,n.y) %}{% endfor %}{{ n.x == n.y }}",
    "tuple hash 2": "{% set n=namespace(x=()) %}{% for i in range(28) %}{% set n.x=(n.x,n.x) %}{% endfor %}{% set d={}%}{{ d.get(n.x) }}",
    "list extend": "{% set l=[1] %}{% for i in range(99) %}{% set x=l.extend(l) %}{% endfor %}",
    "list index": "{% set l=[[0]*900000] %}{% for i in range(99999) %}{% set x=l[0].index(1) %}{% endfor %}",
    "list copy": "{% set l=[0]*900000 %}{% for i in range(99999) %}{% set x=l.copy() %}{% endfor %}",
    "dict copy kept": "{% set d=dict.fromkeys(range(90000)) %}{% set n=namespace(a=1) %}{% for i in range(9999) %}{% set n.a=(n.a,d.copy()) %}{% endfor %}",
    "dictsort big": "{% set d=dict.fromkeys(range(90000)) %}{% for i in range(9999) %}{% set x=d|dictsort %}{% endfor %}",
    "tuple unpack": "{% for i in range(99999) %}{% for a,b in [(1,2)]*90000 %}{% endfor %}{% endfor %}",
    "special tokens": "".join("<|a%d|>" % i for i in range(60000)),
    # Already while they are compiled.
    "compile flat outputs": "{{x}}" * 100000,
    "compile blocks": "".join(f"{{% block a{i} %}}{{% endblock %}}" for i in range(16000)),
    "compile macros": "".join(f"{{%macro a{i}()%}}{{%endmacro%}}" for i in range(13000)),
    "compile sets and branches": "".join(f"{{%set a{i}=1%}}" for i in range(14000))
    + "{%if x%}{%set b=1%}{%endif%}" * 9000,
    "compile keyword arguments": "{{ f(" + "".join(f"a{i}=1," for i in range(50000)) + ") }}",
    "compile nested lists": "{{ [" + "[1]," * 120000 + "] }}",
    "compile sums": "{{ 1" + "+1" * 250000 + " }}",
    "compile filters": "{{ x" + "|e" * 250000 + " }}",
    "compile attributes": "{{ x" + ".a" * 250000 + " }}",
    "compile signs": "{{ " + "-" * 500000 + "x }}",
    "compile brackets": "{{ " + "[" * 250000 + "]" * 250000 + " }}",
    "compile digits": "{{ " + "9" * 500000 + " }}",
    "compile open comments": "{#" * 250000,
    "compile open raw": "{% raw %}" + "{%" * 250000,
    "compile filter blocks": "{%filter upper%}" * 16000 + "{%endfilter%}" * 16000,
    "compile nested loops": "{%for a in range(2)%}" * 19 + "{%endfor%}" * 19,
    "compile branches": "{%if x%}" + "{%elif x%}" * 50000 + "{%endif%}",
    "compile almost too many tokens": "{{x}}" * 6600,
    "compile elifs": "{%if x%}" + "{%elif x%}" * 4000 + "{%endif%}",
    "compile includes": "{%include 'a'%}" * 30000,
}

ESCAPES = {
    "format attr class": "{{ '{0.__class__.__init__.__globals__}'.format(raise_exception) }}",
    "map attribute dotted": "{{ [{'a':1}]|map(attribute='a.__class__')|list }}",
    "map attribute int": "{{ [['a']]|map(attribute='0.__class__')|list }}",
    "selectattr dunder": "{{ ['a']|selectattr('__class__')|list }}",
    "rejectattr dunder": "{{ ['a']|rejectattr('__class__.__mro__')|list }}",
    "groupby dunder": "{{ ['a']|groupby('__class__')|list }}",
    "sort dunder": "{{ ['a']|sort(attribute='__class__.__name__')|list }}",
    "unique dunder": "{{ ['a']|unique(attribute='__class__')|list }}",
    "sum dunder": "{{ ['a']|sum(attribute='__class__') }}",
    "max dunder": "{{ ['a']|max(attribute='__class__') }}",
    "join dunder": "{{ ['a']|join(attribute='__class__') }}",
    "map attr filter": "{{ ['a']|map('attr','__class__')|list }}",
    "map attr default": "{{ ['a']|map(attribute='__class__', default='x')|list }}",
    "attr undersc concat": "{{ ''|attr('_'~'_class_'~'_') }}",
    "attr esc": "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "subscript concat": "{{ ''['__cl'~'ass__'] }}",
    "attr Markup": "{{ ''|attr('__class__'|safe) }}",
    "attr list name": "{{ ''|attr(['__class__']|first) }}",
    "gi_frame": "{{ (messages|map('upper')).gi_frame }}",
    "gi_frame2": "{{ (messages|map('upper')|attr('gi_frame')) }}",
    "gen throw": "{{ (messages|map('upper')).throw(1) }}",
    "gi_code": "{{ (messages|select).gi_code }}",
    "func closure": "{{ ''.format.__closure__ }}",
    "func code": "{{ strftime_now.func_code }}",
    "macro internals": "{% macro f() %}{% endmacro %}{{ f._func }}",
    "macro environment": "{% macro f() %}{% endmacro %}{{ f._environment }}",
    "loop internals": "{% for i in [1] %}{{ loop._iterable }}{{ loop._recurse }}{% endfor %}",
    "hidden attr of loop": "{% for i in [1] %}{{ loop.__class__ }}{{ loop|attr('_context') }}{% endfor %}",
    "self internals": "{{ self }}{{ self._TemplateReference__context }}",
    "caller internals": "{% macro f() %}{{ caller._func }}{% endmacro %}{% call f() %}{% endcall %}",
    "cycler internals": "{{ cycler('a').__init__.__globals__ }}",
    "joiner internals": "{{ joiner.__init__ }}",
    "namespace class": "{{ namespace.__init__.__globals__ }}",
    "namespace attrs": "{{ namespace()._Namespace__attrs }}",
    "namespace pos": "{{ namespace({'__class__':1}) }}",
    "import via namespace": "{{ namespace(**{'__init__':1}) }}",
    "dict class": "{{ dict.mro() }}",
    "dict update": "{% set d={} %}{{ d.update({'a':1}) }}",
    "list append": "{% set l=[] %}{{ l.append(1) }}",
    "list iadd": "{% set l=[1] %}{{ l.__iadd__(l) }}",
    "list sort": "{% set l=[1] %}{{ l.sort() }}",
    "undefined attrs": "{{ nope.__class__ }}{{ (nope|attr('_undefined_message')) }}",
    "context functions": "{{ self.__init__ }}{{ context }}{{ environment }}{{ eval_ctx }}",
    "jinja internals": "{{ resolve('x') }}{{ undefined }}{{ concat }}{{ missing }}",
    "python builtins": "{{ open('/etc/passwd') }}",
    "python builtins 2": "{{ __import__('os') }}",
    "python builtins 3": "{{ eval('1') }}{{ getattr }}",
    "markup unescape": "{{ ('&lt;'|safe).unescape() }}",
    "include": "{% include 'a' %}",
    "include dyn": "{% include messages[0].content %}",
    "import": "{% import 'a' as a %}",
    "from": "{% from 'a' import b %}",
    "extends": "{% extends 'a' %}",
    "include ignore": "{% include 'a' ignore missing %}",
    "debug": "{% debug %}",
    "do": "{% do x %}",
}


def run(source: str, limits: TemplateLimits) -> dict[str, object]:
    # What the one before left in cycles does not count for this one.
    gc.collect()
    began = time.process_time()
    try:
        text = render_template(compile_template(source, limits), {"messages": [{"role": "user"}]}, limits, None)
        refused = ""
    except TemplateError as error:
        text, refused = "", str(error)
    except Exception as error:
        text, refused = "", f"{type(error).__name__}: {error}"
    return {"seconds": time.process_time() - began, "text": text[:1000], "size": len(text), "refused": refused[:1000]}


if __name__ == "__main__":
    limits = TemplateLimits(seconds=float(sys.argv[1]))
    run("", limits)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = {name: run(source, limits) for name, source in (BOMBS | ESCAPES).items()}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    json.dump({"outcomes": outcomes, "escapes": list(ESCAPES), "kilobytes": grown}, sys.stdout)
