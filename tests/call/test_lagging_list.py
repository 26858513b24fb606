"""A list that lags behind a create: whether there is one is unknown, so it must do no harm."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from invoicexpress_async import SessionManager, Via
from invoicexpress_async.provisioning import Plan, PlanRow, RowState, RunSettings, provision

KEY = "canary-key-7f3a9c"


class LaggingServer:
    """Lists nothing of what was created until `shown` says how many; takes every create."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.shown = 0
        self.posts = 0

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/acme/sequences.json", self._list)
        application.router.add_post("/acme/sequences.json", self._create)
        application.router.add_get("/acme/sequences/{id}.json", self._get)
        application.router.add_put("/acme/sequences/{id}/set_current.json", self._set_current)
        return application

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"sequences": self.rows[: self.shown]})

    async def _create(self, request: web.Request) -> web.Response:
        self.posts += 1
        requested = (await request.json())["sequence"]
        number = len(self.rows) + 1
        row = {
            "id": number,
            "serie": requested["serie"],
            "default_sequence": int(requested.get("default_sequence") == "1"),
            "current_invoice_number": 0,
            "current_invoice_sequence_id": number,
            "current_invoice_validation_code": f"ABCD{number:04d}",
        }
        self.rows.append(row)
        return web.json_response({"sequence": row}, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response({"sequence": self._row(request)})

    async def _set_current(self, request: web.Request) -> web.Response:
        wanted = self._row(request)
        for row in self.rows:
            row["default_sequence"] = int(row is wanted)
        return web.Response()

    def _row(self, request: web.Request) -> dict[str, Any]:
        return self.rows[int(request.match_info["id"]) - 1]


@pytest.fixture
async def lagging() -> AsyncIterator[tuple[LaggingServer, SessionManager]]:
    server = LaggingServer()
    async with (
        TestServer(server.application()) as running,
        SessionManager(base_url=str(running.make_url("/")) + "{account}") as manager,
    ):
        yield server, manager


async def test_what_this_process_has_made_is_not_made_again_while_a_list_lags(
    lagging: tuple[LaggingServer, SessionManager],
) -> None:
    server, manager = lagging
    first = await manager.account("acme", KEY).sequences.ensure("2027")

    second = await manager.account("acme", KEY).sequences.ensure("2027", default=True)
    third = await manager.account("acme", KEY).sequences.ensure("2027")

    assert server.posts == 1
    assert (first.via, second.via, third.created) == (Via.ANSWERED, Via.LISTED, False)
    assert second.sequence.is_default
    assert {one.sequence.id for one in (first, second, third)} == {1}


async def test_a_staged_row_is_made_once_while_a_list_lags(
    lagging: tuple[LaggingServer, SessionManager],
) -> None:
    server, manager = lagging
    plan = Plan(rows=[PlanRow(account="acme", api_key=KEY, serie="2027", is_default=True)])

    report = await provision(manager, plan, settings=RunSettings(is_staged=True))

    assert [one.state for one in report.outcomes] == [RowState.DONE]
    assert server.posts == 1
    assert server.rows[0]["default_sequence"] == 1
