"""Drives an MCP endpoint with the Python SDK's 2.x client.

Takes one argument, a script, and prints a report, as every peer client does.

The script is `{transport, url, headers, process, calls, parallel, mode, answers}`; the transport is `http`
(the default), `sse` or `stdio`, where `process` is `{command, args, env}`. A call is `{op, …}`: a `tool` (the default) or
`prompt` with `name` and `arguments`, `read` with a `uri`, `complete` with a `ref` and an `argument`,
or one of the lists `prompts`, `resources` and `templates`; one with `after` is made once that file
exists. All are made at once where the script is `parallel`, else one after another. With the clients of the
handshake, `told` waits for a notification of a `method`, `subscribe` and `unsubscribe` take a `uri`, and `level` a
`level`. With the stateless ones, `listen` asks for `tools` and `uris`, calls the tool `name` and tells what it `heard`
first. With rmcp's, a tool that is to `cancel` is cancelled when it reports progress. `answers` says how the client answers
questions: `elicitation` (the result), `sampling` (a text), `roots` (a list of URIs). It can answer
only those that stand there.

The report is `{protocolVersion, instructions, tools, calls: [{result, progress} or {error}]}`.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client, MCPError, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from wanted import Answers, outcomes, reference


def operations(client: Client) -> dict:
    return {
        "tool": lambda wanted, progress: client.call_tool(
            wanted["name"], wanted.get("arguments", {}), progress_callback=progress
        ),
        "prompts": lambda wanted, _: client.list_prompts(),
        "prompt": lambda wanted, _: client.get_prompt(wanted["name"], wanted.get("arguments")),
        "resources": lambda wanted, _: client.list_resources(),
        "templates": lambda wanted, _: client.list_resource_templates(),
        "read": lambda wanted, _: client.read_resource(wanted["uri"]),
        "listen": lambda wanted, _: listen(client, wanted),
        "complete": lambda wanted, _: client.complete(reference(types, wanted["ref"]), wanted["argument"]),
    }


async def listen(client: Client, wanted: dict) -> dict:
    """Opens a stream, makes a call, and says what the stream brought first."""
    async with client.listen(
        tools_list_changed=wanted.get("tools", False), resource_subscriptions=wanted.get("uris", [])
    ) as stream:
        await client.call_tool(wanted["name"], {})
        async with asyncio.timeout(20):
            event = await anext(stream)
    honoured = stream.honored.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"honoured": honoured, "heard": getattr(event, "uri", None) or "tools"}


def server(script: dict, http: httpx2.AsyncClient):
    match script.get("transport", "http"):
        case "http":
            return streamable_http_client(script["url"], http_client=http)
        case "sse":
            return sse_client(script["url"], headers=script["headers"])
        case "stdio":
            return StdioServerParameters(**script["process"])


async def main(script: dict) -> None:
    async with httpx2.AsyncClient(headers=script.get("headers"), timeout=30) as http:
        callbacks = Answers(script, types).callbacks()
        async with Client(server(script, http), mode=script.get("mode", "auto"), **callbacks) as client:
            tools = await client.list_tools()
            report = {
                "protocolVersion": client.protocol_version,
                "instructions": client.instructions,
                "tools": [tool.name for tool in tools.tools],
                "calls": await outcomes(script, operations(client), MCPError),
            }
    print(json.dumps(report))


asyncio.run(main(json.loads(sys.argv[1])))
