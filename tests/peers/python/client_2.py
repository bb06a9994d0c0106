"""Drives an MCP endpoint with the Python SDK's 2.x client.

Takes one argument, a script `{url, headers, calls: [{name, arguments, after}], mode}`, and prints
`{protocolVersion, tools, calls: [{result, progress} or {error}]}`, as every peer client does. A call with
`after` is made once that file exists.
"""

import asyncio
import json
import sys
from pathlib import Path

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client


async def call(client: Client, wanted: dict) -> dict:
    while "after" in wanted and not Path(wanted["after"]).exists():
        await asyncio.sleep(0.01)
    progress = []

    async def on_progress(done, total, message):
        progress.append(done)

    try:
        result = await client.call_tool(wanted["name"], wanted.get("arguments", {}), progress_callback=on_progress)
    except MCPError as error:
        return {"error": {"code": error.error.code, "message": error.error.message, "data": error.error.data}}
    return {"result": result.model_dump(mode="json", by_alias=True, exclude_none=True), "progress": progress}


async def main(script: dict) -> None:
    async with httpx2.AsyncClient(headers=script["headers"], timeout=30) as http:
        transport = streamable_http_client(script["url"], http_client=http)
        async with Client(transport, mode=script.get("mode", "auto")) as client:
            tools = await client.list_tools()
            report = {
                "protocolVersion": client.protocol_version,
                "tools": [tool.name for tool in tools.tools],
                "calls": [await call(client, wanted) for wanted in script["calls"]],
            }
    print(json.dumps(report))


asyncio.run(main(json.loads(sys.argv[1])))
