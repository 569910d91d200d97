"""Every API of the emulator through the AWS CLI: the one named as argument, or else the one installed here.

The one installed here is called in this process, for most of what a command takes is its start.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from results import report, step

ROLE, URL = os.environ["EMULATOR_ROLE"], os.environ["AWS_ENDPOINT_URL"]
CHAT = json.dumps({"messages": [{"role": "user", "content": "Hello there"}]})
CALL = ("sagemaker-runtime", "invoke-endpoint", "--content-type", "application/json", "--body", "fileb://in.json")


def aws(*arguments):
    # Version 2 obeys AWS_ENDPOINT_URL only since 2.13.
    arguments = ["--endpoint-url", URL, "--output", "json", *arguments]
    if sys.argv[1:]:
        done = subprocess.run([sys.argv[1], *arguments], capture_output=True, text=True, check=False)
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        from awscli.clidriver import create_clidriver

        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as wrong:
            code = create_clidriver().main(arguments)
        out, err = said.getvalue(), wrong.getvalue()
    assert code == 0, out + err
    return json.loads(out) if out.startswith("{") else out


def refused(code, *arguments):
    try:
        aws(*arguments)
    except AssertionError as error:
        if f"({code})" in str(error):
            return
        raise
    raise AssertionError(f"{code} was expected")


with step("whole"):
    Path("in.json").write_text(CHAT, "utf-8")
    aws(*CALL, "--endpoint-name", "chat", "out.json")
    answer = json.loads(Path("out.json").read_text("utf-8"))
    assert answer["choices"][0]["message"]["content"] == "Hello there"

with step("errors"):
    refused("ValidationError", *CALL, "--endpoint-name", "nobody", "out.json")
    Path("in.json").write_text('{"messages": []}', "utf-8")
    refused("ModelError", *CALL, "--endpoint-name", "chat", "out.json")

with step("lists"):
    assert len(aws("sagemaker", "list-endpoints")["Endpoints"]) > 10
    assert len(aws("sagemaker", "list-endpoints", "--no-paginate")["Endpoints"]) == 10
    part = aws("sagemaker", "list-endpoints", "--max-items", "4", "--sort-by", "Name", "--sort-order", "Ascending")
    assert [item["EndpointName"] for item in part["Endpoints"]] == ["chat", "e00", "e01", "e02"]
    assert part["NextToken"]

with step("deploy"):
    control = "sagemaker"
    image = aws(control, "describe-model", "--model-name", "chat-model")["PrimaryContainer"]["Image"]
    role = ("--execution-role-arn", ROLE)
    aws(control, "create-model", "--model-name", "cm", *role, "--primary-container", f"Image={image}")
    variant = "VariantName=AllTraffic,ModelName=cm,InstanceType=ml.g5.2xlarge,InitialInstanceCount=1"
    named, configured = ("--endpoint-name", "cnew"), ("--endpoint-config-name", "cc")
    aws(control, "create-endpoint-config", *configured, "--production-variants", variant)
    aws(control, "create-endpoint", *named, *configured)
    aws(control, "wait", "endpoint-in-service", *named)
    Path("in.json").write_text(CHAT, "utf-8")
    aws(*CALL, *named, "out.json")
    aws(control, "delete-endpoint", *named)
    aws(control, "wait", "endpoint-deleted", *named)
    aws(control, "delete-endpoint-config", *configured)
    aws(control, "delete-model", "--model-name", "cm")

with step("s3"):
    bucket, data = "s3://cli-files", os.urandom(17_000_000)
    Path("large.bin").write_bytes(data)
    aws("s3", "mb", bucket)
    aws("s3", "cp", "large.bin", f"{bucket}/deep/large.bin", "--no-progress")
    aws("s3", "cp", f"{bucket}/deep/large.bin", f"{bucket}/copy.bin")
    aws("s3", "cp", f"{bucket}/copy.bin", "back.bin", "--no-progress")
    assert Path("back.bin").read_bytes() == data
    part = aws("s3api", "get-object", "--bucket", "cli-files", "--key", "copy.bin", "--range", "bytes=5-9", "part.bin")
    assert (Path("part.bin").read_bytes(), part["ContentLength"]) == (data[5:10], 5)
    listed = aws("s3", "ls", f"{bucket}/")
    assert "PRE deep/" in listed, listed
    assert "17000000 copy.bin" in listed, listed
    aws("s3", "rm", "--recursive", bucket)
    aws("s3", "rb", bucket)

with step("identities"):
    assert aws("sts", "get-caller-identity")["Arn"].endswith(":user/emulator")
    given = aws("sts", "assume-role", "--role-arn", ROLE, "--role-session-name", "me")["Credentials"]
    Path("in.json").write_text('{"inputs": "Hi"}', "utf-8")
    refused("ValidationError", *CALL, "--endpoint-name", "theirs", "out.json")
    mine = dict(os.environ)
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = (
        given["AccessKeyId"],
        given["SecretAccessKey"],
    )
    os.environ["AWS_SESSION_TOKEN"] = given["SessionToken"]
    aws(*CALL, "--endpoint-name", "theirs", "out.json")
    os.environ.clear()
    os.environ.update(mine)

with step("others"):
    refused("UnknownOperationException", "dynamodb", "list-tables")
    refused("InvalidAction", "iam", "list-roles")

report()
