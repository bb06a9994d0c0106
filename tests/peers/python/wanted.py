"""The half that both Python clients share: do what a call of the script wants, answer what is asked."""


import asyncio
from pathlib import Path


async def outcomes(script: dict, operations: dict, refusal: type[Exception]) -> list[dict]:
    calls = (outcome(operations, wanted, refusal) for wanted in script["calls"])
    return await asyncio.gather(*calls) if script.get("parallel") else [await call for call in calls]


async def outcome(operations: dict, wanted: dict, refusal: type[Exception]) -> dict:
    while "after" in wanted and not Path(wanted["after"]).exists():
        await asyncio.sleep(0.01)
    progress = []

    async def on_progress(done, total, message):
        progress.append(done)

    try:
        result = await operations[wanted.get("op", "tool")](wanted, on_progress)
    except refusal as error:
        return {"error": {"code": error.error.code, "message": error.error.message, "data": error.error.data}}
    if not isinstance(result, dict):
        result = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"result": result, "progress": progress}


class Told:
    """The notifications that came."""

    def __init__(self) -> None:
        self.methods = set()
        self.more = asyncio.Event()

    async def hear(self, message) -> None:
        if method := getattr(getattr(message, "root", None), "method", None):
            self.methods.add(method)
            self.more.set()

    async def wait(self, method: str) -> dict:
        async with asyncio.timeout(20):
            while method not in self.methods:
                self.more.clear()
                await self.more.wait()
        return {"told": True}


def reference(types, ref: dict):
    kind = types.PromptReference if ref["type"] == "ref/prompt" else types.ResourceTemplateReference
    return kind.model_validate(ref)


class Answers:
    """The callbacks of a client that can answer what the script has answers for."""

    def __init__(self, script: dict, types) -> None:
        self.answers = script.get("answers", {})
        self.types = types

    def callbacks(self) -> dict:
        known = {
            "elicitation": ("elicitation_callback", self.elicit),
            "sampling": ("sampling_callback", self.sample),
            "roots": ("list_roots_callback", self.roots),
        }
        return dict(known[question] for question in self.answers)

    async def elicit(self, context, params):
        return self.types.ElicitResult.model_validate(self.answers["elicitation"])

    async def sample(self, context, params):
        text = {"type": "text", "text": self.answers["sampling"]}
        return self.types.CreateMessageResult.model_validate(
            {"role": "assistant", "content": text, "model": "scripted", "stopReason": "endTurn"}
        )

    async def roots(self, context):
        return self.types.ListRootsResult.model_validate({"roots": [{"uri": uri} for uri in self.answers["roots"]]})
