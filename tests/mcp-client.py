"""Asks `ek mcp` by a client library that is not this project's: PyPI's `mcp`.

    python3 -m venv V && V/bin/pip install mcp==1.28.0
    V/bin/python tests/mcp-client.py target/debug/ek [arguments of ek, such as --data DIR]
"""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main() -> None:
    server = StdioServerParameters(command=sys.argv[1], args=[*sys.argv[2:], "mcp"])
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        hello = await session.initialize()
        print("server:", hello.serverInfo.name, hello.serverInfo.version, hello.protocolVersion)
        tools = (await session.list_tools()).tools
        print("tools:", ", ".join(sorted(tool.name for tool in tools)))
        status = await session.call_tool("status", {})
        assert not status.isError, status
        print("pictures:", json.loads(status.content[0].text)["images"])
        found = await session.call_tool("search", {"query": "a cat", "limit": 2})
        assert not found.isError, found
        hits = json.loads(found.content[0].text)["hits"]
        pictures = [part for part in found.content if part.type == "image"]
        print("hits:", len(hits), "pictures:", [part.mimeType for part in pictures])
        assert len(pictures) == len(hits) == 2
        for tool, arguments in [
            ("describe", {"image": hits[0]["id"], "limit": 3}),
            ("label", {"image": hits[0]["id"], "labels": ["a cat", "a car"]}),
        ]:
            answer = await session.call_tool(tool, arguments)
            assert not answer.isError, answer
            print(f"{tool}:", answer.content[0].text[:200])
        wrong = await session.call_tool("label", {"image": hits[0]["id"], "labels": []})
        assert wrong.isError, wrong
        print("refused:", wrong.content[0].text)


asyncio.run(main())
