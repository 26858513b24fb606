"""A FastAPI service that keeps the document sequences of many companies.

COMPANIES_FILE=companies.json python fastapi_service.py [PORT]

With several workers, `uvicorn fastapi_service:app --workers 4`, and with a job beside it that has
the same journal, each sequence is sent for by one of them, once.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from typing import Annotated

import uvicorn
from answers import body_of, deadline_of, resume_path, status_of
from companies import Companies
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from intents import IntentStore, token_of
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from invoicexpress_async import (
    AccountSession,
    InvoiceXpressError,
    OutcomeUnknownError,
    SessionManager,
)
from invoicexpress_async.provisioning import SqliteJournal

JOURNAL_FILE = os.environ.get("JOURNAL_FILE", "service.db")
GRACE_SECONDS = float(os.environ.get("GRACE_SECONDS", "10"))


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One manager for the life of the process, and one journal for all processes.

    The journal decides who sends; the store finds the intent again that a link is about.
    """
    app.state.companies = Companies.from_env()
    app.state.intents = IntentStore()
    async with (
        SqliteJournal(JOURNAL_FILE, shared=True) as journal,
        SessionManager.from_env(journal=journal) as manager,
    ):
        app.state.manager = manager
        yield
        await manager.close(GRACE_SECONDS)
    await app.state.intents.close()


class CancelledByHangUp:
    """Cancels what is done for a client that hangs up: others want its place.

    What had been sent by then is in the store, and is never sent again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        messages: asyncio.Queue[Message] = asyncio.Queue()
        work = asyncio.ensure_future(self._app(scope, messages.get, send))

        async def listen() -> None:
            while (message := await receive())["type"] != "http.disconnect":
                messages.put_nowait(message)
            work.cancel()

        listening = asyncio.create_task(listen())
        try:
            await asyncio.wait([work])
        finally:
            work.cancel()
            listening.cancel()
            await asyncio.wait([work, listening])
        if not work.cancelled():
            work.result()


app = FastAPI(lifespan=lifespan)
app.add_middleware(CancelledByHangUp)


class NewSequence(BaseModel):
    """What to ensure."""

    serie: str
    default: bool = False


async def account_of(account: str, request: Request) -> AccountSession:
    """Return a handle for this request: no I/O, some microseconds."""
    key = request.app.state.companies.key_of(account)
    if key is None:
        raise HTTPException(404, "not a company of ours")
    manager: SessionManager = request.app.state.manager
    return manager.account(account, key)


async def deadline(x_deadline_seconds: Annotated[str | None, Header()] = None) -> float:
    """Return the one deadline of all that a request does."""
    return deadline_of(x_deadline_seconds)


async def intents_of(request: Request) -> IntentStore:
    """Return where intents are kept."""
    intents: IntentStore = request.app.state.intents
    return intents


Account = Annotated[AccountSession, Depends(account_of)]
Deadline = Annotated[float, Depends(deadline)]
Intents = Annotated[IntentStore, Depends(intents_of)]


@app.post("/companies/{account}/sequences")
async def ensure(
    new: NewSequence, account: Account, seconds: Deadline, intents: Intents
) -> JSONResponse:
    """Bring it about that the sequence is there. Safe to ask again."""
    ensured = await account.sequences.ensure(
        new.serie, default=new.default, on_intent=intents.keep, timeout_seconds=seconds
    )
    if ensured.created:
        await intents.settle(account.name, ensured.sequence)
    return JSONResponse(body_of(ensured.sequence), status_code=201 if ensured.created else 200)


@app.get("/companies/{account}/sequences")
async def show_all(account: Account, seconds: Deadline) -> JSONResponse:
    """List them."""
    sequences = await account.sequences.list(timeout_seconds=seconds)
    return JSONResponse([body_of(one) for one in sequences])


@app.get("/companies/{account}/sequences/resume/{token}")
async def resume(token: str, account: Account, seconds: Deadline, intents: Intents) -> JSONResponse:
    """Find out the outcome of a request whose response was lost. Only reads."""
    intent = await intents.find(account.name, token)
    if intent is None:
        raise HTTPException(404, "nothing was sent under that name")
    sequence = await account.sequences.resume(intent, timeout_seconds=seconds)
    await intents.settle(account.name, sequence)
    return JSONResponse(body_of(sequence))


@app.get("/health")
async def health(request: Request) -> JSONResponse:
    """Whether to send requests here, and counters."""
    found = request.app.state.manager.health()
    return JSONResponse(found, status_code=200 if found["is_open"] else 503)


@app.exception_handler(OutcomeUnknownError)
async def report_unknown(_: Request, error: OutcomeUnknownError) -> JSONResponse:
    """Answer 202: it was sent, its outcome is unknown, and here is where to ask."""
    link = resume_path(error.intent["account"], token_of(error.intent))
    return JSONResponse({"resume": link}, status_code=202, headers={"Location": link})


@app.exception_handler(InvoiceXpressError)
async def show_error(_: Request, error: InvoiceXpressError) -> JSONResponse:
    """Answer with what happened and what to do; no text of the package's holds a secret."""
    return JSONResponse({"error": str(error)}, status_code=status_of(error))


class Service(uvicorn.Server):
    """On SIGTERM, gives the calls in flight their grace at once, while clients still listen.

    Run by the plain `uvicorn` command, the manager is closed as well, after the last answer.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is in flight, by its outcome or by 202 and 503, and end."""
        await asyncio.gather(super().shutdown(sockets), app.state.manager.close(GRACE_SECONDS))


def main() -> None:
    """Serve until SIGTERM."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    Service(uvicorn.Config(app, port=port, log_level="warning")).run()


if __name__ == "__main__":
    main()
