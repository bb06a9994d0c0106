"""Drives an MCP endpoint with the Python SDK's 1.x client; see client_2.py for the script's shape."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from mcp.client.websocket import websocket_client
from pydantic import AnyUrl

from wanted import Answers, Told, outcomes, reference


def operations(session: ClientSession, told: Told) -> dict:
    return {
        "told": lambda wanted, _: told.wait(wanted["method"]),
        "tool": lambda wanted, progress: session.call_tool(
            wanted["name"], wanted.get("arguments", {}), progress_callback=progress
        ),
        "prompts": lambda wanted, _: session.list_prompts(),
        "prompt": lambda wanted, _: session.get_prompt(wanted["name"], wanted.get("arguments")),
        "resources": lambda wanted, _: session.list_resources(),
        "templates": lambda wanted, _: session.list_resource_templates(),
        "read": lambda wanted, _: session.read_resource(AnyUrl(wanted["uri"])),
        "subscribe": lambda wanted, _: session.subscribe_resource(AnyUrl(wanted["uri"])),
        "unsubscribe": lambda wanted, _: session.unsubscribe_resource(AnyUrl(wanted["uri"])),
        "level": lambda wanted, _: session.set_logging_level(wanted["level"]),
        "complete": lambda wanted, _: session.complete(reference(types, wanted["ref"]), wanted["argument"]),
    }


@asynccontextmanager
async def connect(script: dict):
    match script.get("transport", "http"):
        case "http":
            async with streamablehttp_client(script["url"], headers=script["headers"]) as (read, write, _):
                yield read, write
        case "sse":
            async with sse_client(script["url"], headers=script["headers"]) as streams:
                yield streams
        case "ws":
            async with websocket_client(script["url"]) as streams:
                yield streams
        case "stdio":
            async with stdio_client(StdioServerParameters(**script["process"])) as streams:
                yield streams


async def main(script: dict) -> None:
    told = Told()
    async with connect(script) as (read, write):
        async with ClientSession(
            read, write, message_handler=told.hear, **Answers(script, types).callbacks()
        ) as session:
            hello = await session.initialize()
            tools = await session.list_tools()
            report = {
                "protocolVersion": hello.protocolVersion,
                "instructions": hello.instructions,
                "tools": [tool.name for tool in tools.tools],
                "calls": await outcomes(script, operations(session, told), McpError),
            }
    print(json.dumps(report))


asyncio.run(main(json.loads(sys.argv[1])))
