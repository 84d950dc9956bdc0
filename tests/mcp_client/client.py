"""Lists and calls the tools of `ek mcp` by a client library that is not this project's.

    python client.py EK STORE CACHE PICTURE

Both ways of beginning are taken: by `initialize`, and by the newer `server/discover`.
"""

import asyncio
import base64
import json
import sys

from mcp import Client, MCPError, StdioServerParameters

EK, STORE, CACHE, PICTURE = sys.argv[1:]


async def tour(mode: str) -> None:
    server = StdioServerParameters(command=EK, args=["mcp"], env={"EK_DATA": STORE, "EK_CACHE": CACHE})
    async with Client(server, mode=mode, read_timeout_seconds=120) as client:
        print(f"{mode}: {client.server_info.name} {client.server_info.version}, {client.protocol_version}")
        assert "pictures" in client.instructions, client.instructions
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert sorted(tools) == ["describe", "label", "search", "status"], tools
        for tool in tools.values():
            assert tool.annotations.read_only_hint and tool.input_schema["type"] == "object", tool

        async def told(name: str, **arguments) -> tuple[dict, list]:
            answer = await client.call_tool(name, arguments)
            assert not answer.is_error, answer
            return json.loads(answer.content[0].text), answer.content[1:]

        status, _ = await told("status")
        assert status["images"] == 2, status
        found, more = await told("search", query="a cat", limit=2)
        pictures = [part for part in more if part.type == "image"]
        assert len(found["hits"]) == len(pictures) == 2, found
        for picture in pictures:
            assert picture.mime_type == "image/jpeg", picture.mime_type
            jpeg = base64.b64decode(picture.data, validate=True)
            assert jpeg.startswith(b"\xff\xd8") and jpeg.endswith(b"\xff\xd9") and len(jpeg) < 200_000
        best = found["hits"][0]
        described, _ = await told("describe", image=best["id"], limit=3)
        assert len(described["images"][0]["descriptions"]) == 3, described
        labelled, _ = await told("label", image=PICTURE, labels=["a cat", "a cup of coffee"])
        assert labelled["images"][0]["labels"][0]["label"] == "a cat", labelled
        words = described["images"][0]["descriptions"][0]["text"]
        print(f"{mode}: {best['path']}, {words}, {labelled['images'][0]['labels'][0]['label']}")

        wrong = await client.call_tool("label", {"image": PICTURE, "labels": ["one"]})
        assert wrong.is_error and "two different" in wrong.content[0].text, wrong
        try:
            await client.call_tool("delete_everything", {})
            raise AssertionError("a tool that is not there was called")
        except MCPError as error:
            assert "delete_everything" in str(error), error
        assert (await told("status"))[0] == status
        print(f"{mode}: refused: {wrong.content[0].text}")


for mode in ["legacy", "auto"]:
    asyncio.run(tour(mode))
