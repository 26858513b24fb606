"""The service of `bench_services.py` written by hand, with aiohttp only."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
from aiohttp import web


def make_app(*, connections: int, deadline_seconds: float) -> web.Application:
    """Return a service as written in an afternoon: it lists, and creates what is missing."""
    base_url = os.environ["INVOICEXPRESS_BASE_URL"]
    keys: Mapping[str, str] = json.loads(Path(os.environ["COMPANIES_FILE"]).read_text())
    session: aiohttp.ClientSession

    async def life(_: web.Application) -> AsyncIterator[None]:
        nonlocal session
        connector = aiohttp.TCPConnector(limit=connections)
        timeout = aiohttp.ClientTimeout(total=deadline_seconds)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            yield

    async def rows_of(account: str) -> list[dict[str, object]]:
        url = f"{base_url.format(account=account)}/sequences.json"
        async with session.get(url, params={"api_key": keys[account]}) as answer:
            answer.raise_for_status()
            rows: list[dict[str, object]] = (await answer.json())["sequences"]
            return rows

    async def create(account: str, serie: str) -> None:
        url = f"{base_url.format(account=account)}/sequences.json"
        body = {"sequence": {"serie": serie}}
        async with session.post(url, params={"api_key": keys[account]}, json=body) as answer:
            answer.raise_for_status()
            await answer.json()

    async def ensure(request: web.Request) -> web.Response:
        account, serie = request.match_info["account"], (await request.json())["serie"]
        try:
            is_there = any(row["serie"] == serie for row in await rows_of(account))
            if not is_there:
                await create(account, serie)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return web.json_response({"error": "upstream"}, status=502)
        return web.json_response({"serie": serie}, status=200 if is_there else 201)

    async def show_all(request: web.Request) -> web.Response:
        try:
            rows = await rows_of(request.match_info["account"])
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return web.json_response({"error": "upstream"}, status=502)
        return web.json_response(rows)

    app = web.Application()
    app.cleanup_ctx.append(life)
    app.router.add_post("/companies/{account}/sequences", ensure)
    app.router.add_get("/companies/{account}/sequences", show_all)
    return app
