"""What is rewritten, what is left and said, and that everything else keeps its layout."""

import ast
import json
import textwrap

import pytest
from typer.testing import CliRunner

from sagewire.cli import app
from sagewire.errors import UsageError
from sagewire.migrate import find_programs, migrate_file, migrate_source

OURS = "sagewire.integrations"


def rewritten(program):
    done = migrate_source(textwrap.dedent(program))
    ast.parse(done.text)
    assert migrate_source(done.text).text == done.text, "a second run changes something"
    return done


def left(done):
    return [note.text for note in done.notes if note.left]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from langchain_aws.llms import SagemakerEndpoint", f"from {OURS}.langchain import SagemakerEndpoint"),
        (
            "from llama_index.llms.sagemaker_endpoint.utils import IOHandler",
            f"from {OURS}.llama_index import IOHandler",
        ),
        ("from langchain.llms import SagemakerEndpoint as E", f"from {OURS}.langchain import SagemakerEndpoint as E"),
        ("import litellm", f"from {OURS} import litellm"),
        ("import litellm as lite", f"from {OURS} import litellm as lite"),
        (
            "from litellm import (\n    completion,\n    embedding,\n)",
            f"from {OURS}.litellm import completion, embedding",
        ),
        ("from litellm.exceptions import Timeout", f"from {OURS}.litellm.exceptions import Timeout"),
        ("from easyllm.clients import sagemaker as s", f"from {OURS}.easyllm import sagemaker as s"),
        (
            "from llama_index.llms.sagemaker_endpoint import SageMakerLLM",
            f"from {OURS}.llama_index import SageMakerLLM",
        ),
        ("import os; import litellm", f"import os\nfrom {OURS} import litellm"),
        (
            "from langchain_huggingface import ChatHuggingFace as Chat",
            f"from {OURS}.langchain import ChatHuggingFaceEndpoint as Chat",
        ),
        (
            "from langchain_community.llms import OpenAI, SagemakerEndpoint",
            f"from langchain_community.llms import OpenAI\nfrom {OURS}.langchain import SagemakerEndpoint",
        ),
    ],
)
def test_imports(before, after):
    assert rewritten(before + "\n").text == after + "\n"


def test_comments_layout_and_everything_else_stay():
    program = textwrap.dedent(
        """\
        #!/usr/bin/env python
        '''Doc.'''
        from   langchain_community.llms   import SagemakerEndpoint  # our model

        x = {  'a':1,
               "b" : 2 }   # odd
        llm = SagemakerEndpoint( endpoint_name = 'e',region_name='r' )
        """
    )
    done = rewritten(program)
    assert done.text == program.replace(
        "from   langchain_community.llms   import SagemakerEndpoint", f"from {OURS}.langchain import SagemakerEndpoint"
    )
    assert migrate_source(program.replace("\n", "\r\n")).text == done.text.replace("\n", "\r\n")


def test_names_follow_their_imports_and_not_their_spelling():
    done = rewritten(
        """
        from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint

        def make(model: ChatHuggingFace | None = None):
            return model or ChatHuggingFace(llm=HuggingFaceEndpoint(endpoint_url="http://x"), model_id="m")

        class Other:
            ChatHuggingFace = "ChatHuggingFace"

        print(Other.ChatHuggingFace)
        """
    )
    assert "model: ChatHuggingFaceEndpoint | None" in done.text
    assert (
        'return model or ChatHuggingFaceEndpoint(llm=HuggingFaceEndpoint(endpoint_url="http://x"), model="m")'
        in done.text
    )
    assert 'ChatHuggingFace = "ChatHuggingFace"' in done.text
    assert "print(Other.ChatHuggingFace)" in done.text


def test_modules_that_were_imported_whole():
    done = rewritten(
        """
        import langchain_aws.llms
        import langchain_community.llms.sagemaker_endpoint as se

        a = langchain_aws.llms.SagemakerEndpoint(endpoint_name="x")

        class Handler(se.LLMContentHandler):
            pass
        """
    )
    assert "langchain_aws" not in done.text
    assert 'a = SagemakerEndpoint(endpoint_name="x")' in done.text
    assert "class Handler(LLMContentHandler):" in done.text
    assert "Handler is kept" in done.notes[0].text


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("E()", "E(replace_newlines=True)"),
        ('E(endpoint_name="a")', 'E(endpoint_name="a", replace_newlines=True)'),
        ('E(endpoint_name="a", replace_newlines=False)', 'E(endpoint_name="a", replace_newlines=False)'),
        ('E(\n    endpoint_name="a",\n)', 'E(\n    endpoint_name="a",\n    replace_newlines=True,\n)'),
        ('E(\n    a="a",\n    b="b"\n)', 'E(\n    a="a",\n    b="b",\n    replace_newlines=True\n)'),
        ("E(**given)", "E(**given)"),
    ],
)
def test_arguments_that_keep_the_original_behaviour(call, expected):
    head = "from langchain_community.embeddings import SagemakerEndpointEmbeddings as E\n"
    done = migrate_source(head + call + "\n")
    assert done.text.partition("\n")[2] == expected + "\n"
    if "**" in call:
        assert "replace_newlines" in done.notes[0].text


def test_exceptions_are_caught_beside_those_of_the_library():
    done = rewritten(
        """
        from botocore.exceptions import ClientError
        from langchain_aws.llms import SagemakerEndpoint

        try:
            SagemakerEndpoint(endpoint_name="x").invoke("Hi")
        except (KeyError, ClientError) as error:
            print(error.response["Error"]["Code"])
        except ValueError:
            pass
        """
    )
    assert "except (KeyError, ClientError, EndpointError) as error:" in done.text
    assert "from sagewire import EndpointError\n" in done.text
    assert "except ValueError:" in done.text
    assert "code" in left(done)[0]


def test_exceptions_where_the_library_is_imported_inside_of_a_function():
    done = rewritten(
        """
        def ask():
            from langchain_community.llms import SagemakerEndpoint
            return SagemakerEndpoint(endpoint_name="x").invoke("Hi")

        try:
            ask()
        except ValueError:
            pass
        """
    )
    assert "\nfrom sagewire import SagewireError\n" in "\n" + done.text
    assert "except (ValueError, SagewireError):" in done.text


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("from litellm import completion\ncompletion(model='gpt-4o', messages=[])\n", "'gpt-4o'"),
        ("import litellm\nlitellm.completion('sagemaker/x', [])\nlitellm.Router(model_list=[])\n", "litellm.Router"),
        ("from litellm import Router, completion\n", "litellm.Router"),
        ("from langchain_huggingface import HuggingFacePipeline\n", "HuggingFacePipeline"),
        ("from langchain_aws.llms import *\n", "import what the program uses by name"),
    ],
)
def test_what_cannot_move_stays_and_is_named(program, reason):
    done = rewritten(program)
    assert done.text == program
    assert any(reason in text for text in left(done))


def test_models_that_are_chosen_at_run_time_are_mentioned():
    done = rewritten("from litellm import completion\ncompletion(model=name, messages=[])\n")
    assert OURS in done.text
    assert "sagemaker/" in done.notes[0].text


def test_programs_of_others_are_not_touched():
    program = "import os\n\nfrom openai import OpenAI\nprint( OpenAI )\n"
    assert migrate_source(program).text == program
    assert migrate_source("").text == ""
    with pytest.raises(UsageError, match="line 1"):
        migrate_source("def (:\n")


def notebook(*cells):
    made = [{"cell_type": "code", "metadata": {}, "outputs": [1], "source": cell.splitlines(True)} for cell in cells]
    markdown = {"cell_type": "markdown", "source": ["import litellm"]}
    return json.dumps({"cells": [markdown, *made], "nbformat": 4}, indent=1) + "\n"


def test_notebooks_are_one_program_with_lines_of_jupyter(tmp_path):
    path = tmp_path / "tour.ipynb"
    path.write_text(
        notebook(
            "%pip install -q langchain-huggingface\n!ls\nfrom langchain_huggingface import ChatHuggingFace",
            "%%bash\nfrom litellm import completion",
            "for i in '1':\n    %time ChatHuggingFace(llm=1)\n    x = ChatHuggingFace(llm=1)\nawait x.invoke('Hi')\nx?",
            "this is not Python",
        ),
        "utf-8",
    )
    done = migrate_file(path)
    before, after = json.loads(done.before), json.loads(done.migration.text)
    cells = ["".join(cell["source"]) for cell in after["cells"]]
    assert cells[1].endswith(f"!ls\nfrom {OURS}.langchain import ChatHuggingFaceEndpoint")
    assert cells[2] == "%%bash\nfrom litellm import completion"
    assert "    x = ChatHuggingFaceEndpoint(llm=1)\nawait x.invoke('Hi')\nx?" in cells[3]
    assert cells[4] == "this is not Python"
    assert after["cells"][0] == before["cells"][0]
    assert after["cells"][1]["outputs"] == [1]
    assert done.migration.text.endswith("}\n")
    path.write_text("{}", "utf-8")
    with pytest.raises(UsageError, match=r"tour\.ipynb: not a notebook"):
        migrate_file(path)


def test_command_shows_a_diff_and_writes_when_told(tmp_path):
    (tmp_path / ".venv").mkdir()
    for name in ("a.py", ".venv/b.py"):
        (tmp_path / name).write_text("from litellm import completion\n", "utf-8")
    (tmp_path / "c.py").write_text("from litellm import Router\n", "utf-8")
    assert [path.name for path in find_programs([tmp_path])] == ["a.py", "c.py"]
    shown = CliRunner().invoke(app, ["migrate", str(tmp_path / "a.py")])
    assert shown.exit_code == 1
    assert "-from litellm import completion\n+from sagewire.integrations.litellm import completion\n" in shown.output
    assert "1 of 1 files would change" in shown.output
    assert (tmp_path / "a.py").read_text("utf-8") == "from litellm import completion\n"
    written = CliRunner().invoke(app, ["migrate", "--write", str(tmp_path)])
    assert written.exit_code == 1, "the router is left"
    assert "c.py:1: left: litellm stays" in written.output.replace("\n", " ")
    assert (tmp_path / "a.py").read_text("utf-8") == "from sagewire.integrations.litellm import completion\n"
    assert CliRunner().invoke(app, ["migrate", str(tmp_path / "a.py")]).exit_code == 0
    for wrong in ("nothing.py", ".venv/x.txt"):
        assert CliRunner().invoke(app, ["migrate", str(tmp_path / wrong)]).exit_code == 2


def test_handlers_of_llama_indexs_embeddings_are_classes_of_their_own():
    done = rewritten(
        """
        from llama_index.embeddings.sagemaker_endpoint.utils import BaseIOHandler


        class Handler(BaseIOHandler):
            pass
        """
    )
    assert f"from {OURS}.llama_index import BaseEmbeddingIOHandler" in done.text
    assert "class Handler(BaseEmbeddingIOHandler):" in done.text
