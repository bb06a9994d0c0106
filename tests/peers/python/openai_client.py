"""Drives the OpenAI-compatible paths with OpenAI's own client.

Takes one argument, a script `{url, key, calls: [{model, messages, …}]}`, and prints
`{models, calls: [{completion} or {chunks} or {error}]}`: a call with `stream` is answered with the
chunks as they came, one that is refused with what the client made of it.
"""

import json
import sys

import openai


def call(client: openai.OpenAI, wanted: dict) -> dict:
    try:
        answer = client.chat.completions.create(**wanted)
        if wanted.get("stream"):
            return {"chunks": [chunk.model_dump(mode="json") for chunk in answer]}
        return {"completion": answer.model_dump(mode="json")}
    except openai.APIError as error:
        status = getattr(error, "status_code", None)
        return {"error": {"kind": type(error).__name__, "status": status, "code": error.code, "param": error.param}}


def main(script: dict) -> None:
    client = openai.OpenAI(base_url=script["url"], api_key=script["key"], max_retries=0, timeout=60)
    report = {
        "models": [model.id for model in client.models.list()],
        "calls": [call(client, wanted) for wanted in script["calls"]],
    }
    print(json.dumps(report))


main(json.loads(sys.argv[1]))
