"""A server on the Python SDK, either line of it: server.py [stdio | sse | ws | http] [PORT].

Without an argument it speaks Streamable HTTP. HTTP+SSE is served by both lines, WebSocket by 1.x
alone. Over a network it listens on a port of loopback, a free one unless told otherwise, and prints
that port as one JSON line, as every peer server does.
"""

import asyncio
import json
import os
import socket
import sys
import threading

import anyio
import uvicorn
from mcp.types import Completion, SamplingMessage, TextContent
from pydantic import BaseModel

try:
    from mcp.server import MCPServer
    from mcp.server.mcpserver import Context
except ImportError:  # the 1.x line
    from mcp.server.fastmcp import Context
    from mcp.server.fastmcp import FastMCP as MCPServer

server = MCPServer("python-peer")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two whole numbers."""
    return a + b


@server.tool()
def echo(text: str) -> str:
    """Gives the text back."""
    return text


@server.tool()
def fail() -> str:
    """Always fails, as a tool may."""
    raise ValueError("failed as asked")


@server.tool()
async def count(steps: int, ctx: Context) -> str:
    """Reports progress at every step."""
    for step in range(1, steps + 1):
        await ctx.report_progress(step, steps, f"step {step}")
        await anyio.sleep(0.05)
    return f"counted to {steps}"


@server.tool()
async def grow(name: str, ctx: Context) -> str:
    """Adds a tool of that name while the server runs, and says so."""
    server.add_tool(lambda: "grown", name=name, description="Was not there at first.")
    if hasattr(ctx, "notify_tools_changed"):
        await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return name


class Answer(BaseModel):
    name: str


@server.tool()
async def ask(question: str, ctx: Context) -> str:
    """Asks who somebody is."""
    answer = await ctx.elicit(question, Answer)
    return answer.data.name if answer.action == "accept" else answer.action


@server.tool()
async def sample(prompt: str, ctx: Context) -> str:
    """Has the client's model answer."""
    prompt = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return (await ctx.session.create_message([prompt], max_tokens=10)).content.text


@server.tool()
async def roots(ctx: Context) -> str:
    """Where the client works."""
    return " ".join(str(root.uri) for root in (await ctx.session.list_roots()).roots)


hurried, asking = asyncio.Event(), asyncio.Event()


@server.tool()
async def ask_later(question: str, ctx: Context) -> str:
    """Asks once `hurry` runs."""
    await hurried.wait()
    asking.set()
    return await ask(question, ctx)


@server.tool()
async def hurry(ctx: Context) -> str:
    """Has `ask_later` ask, and ends when that question is on its way."""
    hurried.set()
    await asking.wait()
    # Written after the question.
    await ctx.session.send_ping()
    return "hurried"


@server.prompt()
def greet(name: str) -> str:
    """Greets somebody by name."""
    return f"Say hello to {name}."


@server.resource("note://today", description="What is written down for today.")
def today() -> str:
    return "nothing"


@server.resource("note://{day}/tasks")
def tasks(day: str) -> str:
    """What is to be done on a day."""
    return f"the tasks of {day}"


@server.completion()
async def complete(ref, argument, context):
    """Completes names and days alike."""
    return Completion(values=[word for word in ("monday", "tuesday", "mary") if word.startswith(argument.value)])


def websocket_app():
    from mcp.server.websocket import websocket_server
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    async def serve(websocket) -> None:
        async with websocket_server(websocket.scope, websocket.receive, websocket.send) as (read, write):
            low = server._mcp_server
            await low.run(read, write, low.create_initialization_options())

    return Starlette(routes=[WebSocketRoute("/ws", serve)])


def end_with_parent() -> None:
    """Ends the process when the test that started it has ended, however it ended."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    transport, port = (sys.argv[1:] + ["http", "0"][len(sys.argv) - 1 :])[:2]
    if transport == "stdio":
        server.run("stdio")
        return
    listener = socket.create_server(("127.0.0.1", int(port)))
    app = {"http": server.streamable_http_app, "sse": server.sse_app, "ws": websocket_app}[transport]()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    threading.Thread(target=end_with_parent, daemon=True).start()
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


main()
