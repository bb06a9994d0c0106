"""Drives an MCP endpoint with the Python SDK's 1.x client; see client_2.py for the script's shape."""

import asyncio
import json
import sys
from pathlib import Path

from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamablehttp_client


async def call(session: ClientSession, wanted: dict) -> dict:
    while "after" in wanted and not Path(wanted["after"]).exists():
        await asyncio.sleep(0.01)
    progress = []

    async def on_progress(done, total, message):
        progress.append(done)

    try:
        result = await session.call_tool(wanted["name"], wanted.get("arguments", {}), progress_callback=on_progress)
    except McpError as error:
        return {"error": {"code": error.error.code, "message": error.error.message, "data": error.error.data}}
    return {"result": result.model_dump(mode="json", by_alias=True, exclude_none=True), "progress": progress}


async def main(script: dict) -> None:
    async with streamablehttp_client(script["url"], headers=script["headers"]) as (read, write, _):
        async with ClientSession(read, write) as session:
            hello = await session.initialize()
            tools = await session.list_tools()
            report = {
                "protocolVersion": hello.protocolVersion,
                "tools": [tool.name for tool in tools.tools],
                "calls": [await call(session, wanted) for wanted in script["calls"]],
            }
    print(json.dumps(report))


asyncio.run(main(json.loads(sys.argv[1])))
