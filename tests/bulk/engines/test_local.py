"""Jobs on one machine, against the emulator: what comes out, and what a user who errs is told."""

import csv
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sagewire import AsyncClient, Client, UnsupportedFeature, UsageError, bulk
from sagewire.emulator import EndpointSpec
from sagewire.errors import EndpointNotFound


def questions(count):
    return [{"id": number, "prompt": f"question {number}"} for number in range(count)]


def test_rows_come_back_in_order_with_their_columns(models, write, read, tmp_path):
    report = bulk.run(write(questions(700)), "sagemaker/chat", tmp_path / "out.jsonl")
    assert (report.rows, report.failed, report.complete, report.stopped) == (700, 0, True, None)
    assert (report.calls, report.prompt_tokens > 700) == (700, True)
    rows = read(report.output)
    assert [row["id"] for row in rows] == list(range(700))
    assert all(row["output"] == row["prompt"] and row["finish_reason"] == "stop" for row in rows)
    assert rows[0].keys() == {"id", "prompt", "output", "finish_reason", "prompt_tokens", "completion_tokens", "error"}


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("source", ["jsonl", "csv", "parquet"])
def test_every_format_into_every_format(source, format, models, write, read, tmp_path):
    rows = [{"id": "007", "prompt": 'two\nlines, "quoted"'}, {"id": "x", "prompt": "ünïcödé 語"}]
    path = str(tmp_path / f"in.{source}")
    if source == "jsonl":
        write(rows)
    elif source == "csv":
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, ["id", "prompt"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    report = bulk.run(path, "sagemaker/chat", tmp_path / f"out.{format}")
    if format == "jsonl":
        found = read(report.output)
    elif format == "csv":
        with open(report.output, newline="") as file:
            found = list(csv.DictReader(file))
    else:
        found = pq.read_table(report.output).to_pylist()
    assert [(row["id"], row["prompt"], row["output"]) for row in found] == [
        (row["id"], row["prompt"], row["prompt"]) for row in rows
    ]


def test_parquet_types_survive(models, tmp_path):
    table = pa.table(
        {
            "prompt": ["a", "b"],
            "price": pa.array([Decimal("1.50"), None], pa.decimal128(8, 2)),
            "at": pa.array([1, 2], pa.timestamp("us", "UTC")),
            "tags": pa.array([["x"], []], pa.list_(pa.string())),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    report = bulk.run(tmp_path / "in.parquet", "sagemaker/chat", tmp_path / "out.parquet")
    found = pq.read_table(report.output)
    assert found.select(table.column_names) == table
    assert found.schema.field("prompt_tokens").type == pa.int64()


def test_a_directory_is_read_in_the_order_of_names(models, write, read, tmp_path):
    (tmp_path / "in").mkdir()
    write(questions(3), "in/b.jsonl")
    write([{"id": -1, "prompt": "first"}], "in/a.jsonl")
    write(["not read"], "in/_SUCCESS")
    report = bulk.run(tmp_path / "in", "sagemaker/chat", tmp_path / "out.jsonl")
    assert [row["id"] for row in read(report.output)] == [-1, 0, 1, 2]


def test_json_of_mixed_types_becomes_text_in_parquet(models, write, tmp_path):
    rows = [{"prompt": "a", "x": 1, "y": 1, "z": {}}, {"prompt": "b", "x": "one", "y": 2.5, "z": {"q": None}}]
    report = bulk.run(write(rows), "sagemaker/chat", tmp_path / "out.parquet")
    found = pq.read_table(report.output).to_pylist()
    assert [row["x"] for row in found] == ["1", "one"]
    assert [row["y"] for row in found] == [1.0, 2.5]


def test_malformed_rows_are_reported_with_their_lines(models, write, read, tmp_path):
    lines = ['{"prompt": "one"}', "{oops", "", "[1]", '{"prompt": null}', '{"prompt": 3}', '{"prompt": "two"}']
    report = bulk.run(write(lines), "sagemaker/chat", tmp_path / "out.jsonl")
    assert (report.rows, report.failed, report.malformed, report.calls) == (6, 4, 2, 2)
    letters = read(report.dead_letter)
    assert [letter["line"] for letter in letters] == [2, 4, 5, 6]
    assert letters[0]["error"].startswith("line 2: not valid JSON")
    assert "list" in letters[1]["error"]
    assert letters[2]["error"] == "column 'prompt' is null"
    assert "holds int" in letters[3]["error"]
    assert letters[3]["row"] == {"prompt": 3}
    assert [row.get("output") for row in read(report.output)] == ["one", None, None, None, None, "two"]


def test_malformed_csv_rows_are_reported_with_their_lines(models, read, tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b'prompt,id\n"two\nlines",1\nshort\nbad \xff,2\nlast,3\n')
    report = bulk.run(path, "sagemaker/chat", tmp_path / "out.csv")
    assert [(one["line"], one["error"]) for one in read(report.dead_letter)] == [
        (4, "line 4: 1 fields, but the header has 2"),
        (5, "line 5: not UTF-8"),
    ]
    with open(report.output, newline="") as file:
        assert [row["output"] for row in csv.DictReader(file)] == ["two\nlines", "", "", "last"]


def test_a_missing_column_is_an_error_before_the_first_call(models, write, tmp_path):
    with pytest.raises(UsageError, match="no column 'prompt'; its columns: body, id"):
        bulk.run(write([{"body": "x", "id": 1}]), "sagemaker/chat", tmp_path / "out.jsonl")
    with pytest.raises(UsageError, match="no column 'title'"):
        bulk.run(write([{"body": "x"}]), "sagemaker/chat", tmp_path / "out.jsonl", template="{title}: {body}")
    with pytest.raises(UsageError, match="'output' already"):
        bulk.run(write([{"prompt": "x", "output": 1}]), "sagemaker/chat", tmp_path / "out.jsonl")
    assert models.calls == []
    assert not (tmp_path / "out.jsonl.bulk").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task": "chatt"}, "did you mean 'chat'"),
        ({"templat": "x"}, "did you mean 'template'"),
        ({"options": {"max_token": 3}}, "did you mean 'max_tokens'"),
        ({"options": {"n": 2}}, "one output"),
        ({"template": "{a!r}"}, r"\{a!r\} must hold a column's name and nothing else"),
        ({"template": "{a:>5}"}, r"\{a:>5\} must hold a column's name and nothing else"),
        ({"template": "{prompt.__class__}"}, "no column 'prompt.__class__'"),
        ({"template": "Sum up: {{prompt}}"}, "names no column"),
        ({"template": "{"}, "write {{"),
        ({"column": "x", "template": "{x}"}, "either"),
        ({"schema": {"type": "objekt"}}, "schema"),
        ({"concurrency": 0}, "more than 0"),
        ({"task": "embed", "system": "x"}, "has no effect on embed"),
        ({"batch_size": 4}, "one row a call"),
    ],
)
def test_wrong_settings_are_errors(settings, words, models, write, tmp_path):
    with pytest.raises(UsageError, match=words):
        bulk.run(write(questions(1)), "sagemaker/chat", tmp_path / "out.jsonl", **settings)


@pytest.mark.parametrize(
    ("source", "model", "output", "words"),
    [
        ("nowhere.jsonl", "sagemaker/chat", "out.jsonl", "no file or directory"),
        ("in.jsonl", "bedrock/chat", "out.jsonl", "is not the name of an endpoint"),
        ("in.jsonl", "sagemaker/chat", "out.xlsx", "extension"),
        ("in.jsonl", "huggingface/org/model", "out.jsonl", None),
    ],
)
def test_wrong_names_are_errors(source, model, output, words, models, write, tmp_path):
    if words is None:
        words, settings = "Inference Endpoint", {"task": "embed", "column": "prompt"}
    else:
        settings = {}
    write(questions(1))
    with pytest.raises(UsageError, match=words):
        bulk.run(tmp_path / source, model, tmp_path / output, **settings)


def test_an_endpoint_that_cannot_is_an_error(models, write, tmp_path):
    source = write(questions(1))
    with pytest.raises(UnsupportedFeature, match="'embed'"):
        bulk.run(source, "sagemaker/chat", tmp_path / "out.jsonl", task="embed", column="prompt")
    with pytest.raises(EndpointNotFound):
        bulk.run(source, "sagemaker/nobody", tmp_path / "other.jsonl")


def test_equal_rows_are_asked_once(models, write, read, tmp_path):
    rows = [{"id": number, "prompt": f"question {number % 50}"} for number in range(1000)]
    report = bulk.run(write(rows), "sagemaker/chat", tmp_path / "out.jsonl")
    assert (report.calls, report.reused, len(models.calls)) == (50, 950, 50)
    found = read(report.output)
    assert [row["output"] for row in found] == [row["prompt"] for row in rows]
    assert sum(row["prompt_tokens"] for row in found) == report.prompt_tokens


def test_sampled_rows_are_asked_each(models, write, tmp_path):
    rows = [{"prompt": "the same"}] * 20
    report = bulk.run(write(rows), "sagemaker/chat", tmp_path / "out.jsonl", options={"temperature": 0.7})
    assert report.calls == 20


def test_templates_system_texts_and_options_reach_the_model(models, write, read, tmp_path):
    source = write([{"title": "Rain", "body": {"text": ["it rained"]}, "n": 3}])
    settings = {"template": "{{{title}}} {n}: {body}", "system": "Be brief.", "options": {"max_tokens": 7}}
    bulk.run(source, "sagemaker/chat", tmp_path / "out.jsonl", **settings)
    [call] = models.calls
    assert call.json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": '{Rain} 3: {"text":["it rained"]}'},
    ]
    assert call.json["max_tokens"] == 7


def test_a_template_takes_columns_of_any_name(models, write, read, tmp_path):
    rows = [{"a.b": "dot", "x[0]": "bracket", "my col": "space", "été-1": "accent", "n": 1.5, "list": [1, "é"]}]
    template = "{a.b}, {x[0]}, {my col}, {été-1}, {n}, {list}, {{n}}"
    report = bulk.run(write(rows), "sagemaker/chat", tmp_path / "out.jsonl", template=template)
    assert read(report.output)[0]["output"] == 'dot, bracket, space, accent, 1.5, [1,"é"], {n}'


def test_one_text_may_be_sampled_for_every_row(models, write, tmp_path):
    settings = {"template": "Invent a name.", "options": {"temperature": 0.7}}
    assert bulk.run(write(questions(3)), "sagemaker/chat", tmp_path / "out.jsonl", **settings).calls == 3


def test_a_directory_that_is_not_there_is_an_error_before_the_first_call(models, write, tmp_path):
    output, work_dir = tmp_path / "no" / "out.jsonl", str(tmp_path / "work")
    with pytest.raises(UsageError, match="there is no directory"):
        bulk.run(write(questions(3)), "sagemaker/chat", output, work_dir=work_dir)
    assert models.calls == []
    output.parent.mkdir()
    assert bulk.run(write(questions(3)), "sagemaker/chat", output, work_dir=work_dir).complete


def test_a_column_of_conversations_is_sent_as_it_is(models, tmp_path):
    turns = [
        [{"role": "user", "content": "Hi", "name": None}, {"role": "assistant", "content": "Hello", "name": None}],
        [{"role": "user", "content": "Who?", "name": "Ann"}],
    ]
    pq.write_table(pa.table({"messages": turns}), tmp_path / "in.parquet")
    report = bulk.run(tmp_path / "in.parquet", "sagemaker/chat", tmp_path / "out.jsonl", column="messages")
    assert report.failed == 0
    assert models.calls[0].json["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]


def test_embeddings_go_in_batches_and_equal_single_ones(models, write, tmp_path):
    rows = [{"text": f"text {number}"} for number in range(100)]
    report = bulk.run(write(rows), "sagemaker/tei", tmp_path / "out.parquet", task="embed")
    assert report.calls == 4
    found = pq.read_table(report.output)
    assert found.schema.field("output").type == pa.list_(pa.float32())
    with Client("tei") as client:
        alone = client.embed(["text 42"]).as_numpy()[0]
    assert found["output"][42].as_py() == pytest.approx(alone.tolist(), abs=1e-6)


def test_one_bad_text_does_not_take_its_batch_along(models, write, read, tmp_path):
    rows = [{"text": "fine"}, {"text": ""}, {"text": "good"}, {"text": None}]
    report = bulk.run(write(rows), "sagemaker/tei", tmp_path / "out.jsonl", task="embed")
    found = read(report.output)
    assert [row["error"] is None for row in found] == [True, False, True, False]
    assert report.failed == 2


def test_rerank_by_columns_and_by_one_query(models, write, read, tmp_path):
    documents = ["the cat sat", "rain in Bergen"]
    source = write([{"query": "rain", "documents": documents}, {"query": "cat", "documents": documents}])
    report = bulk.run(source, "sagemaker/rerank", tmp_path / "out.jsonl", task="rerank")
    assert [row["output"][0]["index"] for row in read(report.output)] == [1, 0]
    report = bulk.run(source, "sagemaker/rerank", tmp_path / "o2.parquet", task="rerank", query="rain in Bergen")
    assert pq.read_table(report.output)["output"][1].as_py()[0]["index"] == 1


def test_completions(models, write, tmp_path):
    report = bulk.run(write(questions(3)), "sagemaker/tgi", tmp_path / "out.jsonl", task="complete")
    assert report.failed == 0
    assert models.calls[0].json["inputs"] == "question 0"


SCHEMA = {"type": "object", "properties": {"label": {"enum": ["spam", "ham"]}}, "required": ["label"]}


def test_structured_output_is_parsed(models, write, read, tmp_path):
    report = bulk.run(write(questions(3)), "sagemaker/label", tmp_path / "out.jsonl", schema=SCHEMA)
    assert [row["output"] for row in read(report.output)] == [{"label": "spam"}] * 3
    assert models.calls[0].json["response_format"]["json_schema"]["schema"] == SCHEMA
    report = bulk.run(write(questions(3)), "sagemaker/label", tmp_path / "out.parquet", schema=SCHEMA)
    assert pq.read_table(report.output)["output"].to_pylist() == ['{"label":"spam"}'] * 3


def test_output_that_does_not_fit_the_schema_is_asked_for_again_and_then_fails(models, write, read, tmp_path):
    strict = {**SCHEMA, "properties": {"label": {"const": "ham"}}}
    report = bulk.run(
        write(questions(2)), "sagemaker/label", tmp_path / "out.jsonl", schema=strict, schema_mode="prompt"
    )
    assert (report.failed, report.calls) == (2, 4)
    rows = read(report.output)
    assert rows[0]["error"] == "not as the schema wants at $.label: 'ham' was expected"
    assert json.loads(rows[0]["output"]) == {"label": "spam"}
    assert "JSON schema" in models.calls[0].json["messages"][0]["content"]
    report = bulk.run(
        write(questions(1)),
        "sagemaker/babble",
        tmp_path / "2.jsonl",
        schema=SCHEMA,
        schema_mode="check",
        schema_retries=0,
    )
    assert "not valid JSON" in read(report.dead_letter)[0]["error"]


def test_client_objects_are_models(models, write, tmp_path):
    with Client("chat") as client:
        assert bulk.run(write(questions(3)), client, tmp_path / "a.jsonl").complete
    assert bulk.run(write(questions(3)), AsyncClient("chat"), tmp_path / "b.jsonl").complete
    with pytest.raises(UsageError, match="has its arguments already"):
        bulk.run(
            write(questions(3)),
            AsyncClient("chat"),
            tmp_path / "c.jsonl",
            client_arguments={"region_name": "us-east-1"},
        )


def test_an_http_server_is_a_model(models, write, tmp_path):
    url = models.container_url("chat")
    report = bulk.run(write(questions(3)), url, tmp_path / "out.jsonl", client_arguments={"handler": "openai_chat"})
    assert report.failed == 0


def test_an_empty_input_makes_an_empty_output(models, tmp_path):
    (tmp_path / "in.jsonl").write_text("")
    report = bulk.run(tmp_path / "in.jsonl", "sagemaker/chat", tmp_path / "out.parquet")
    assert (report.rows, report.complete, pq.read_table(report.output).num_rows) == (0, True, 0)


async def test_arun_inside_a_running_loop(models, write, tmp_path):
    seen = []
    report = await bulk.arun(
        write(questions(5)), "sagemaker/chat", tmp_path / "out.jsonl", watch=lambda progress: seen.append(progress.rows)
    )
    assert report.complete
    assert seen[-1] == 5


def test_rows_the_model_refuses_fail_alone(models, write, read, tmp_path):
    models.add("picky", EndpointSpec("openai_chat", engine="echo", faults=["container_error:400"]))
    report = bulk.run(write(questions(4)), "sagemaker/picky", tmp_path / "out.jsonl", concurrency=1)
    assert (report.rows, report.failed, report.complete) == (4, 4, True)
    assert "ModelError" in read(report.dead_letter)[0]["error"]
