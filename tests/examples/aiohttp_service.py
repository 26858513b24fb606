"""An aiohttp.web service that keeps the document sequences of many companies.

COMPANIES_FILE=companies.json python aiohttp_service.py [PORT]
"""

import os
import sys
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler
from answers import body_of, deadline_of, resume_path, status_of
from companies import Companies
from intents import IntentStore, token_of

from invoicexpress_async import (
    AccountSession,
    InvoiceXpressError,
    OutcomeUnknownError,
    SessionManager,
)

GRACE_SECONDS = float(os.environ.get("GRACE_SECONDS", "10"))
MANAGER = web.AppKey("manager", SessionManager)
COMPANIES = web.AppKey("companies", Companies)
INTENTS = web.AppKey("intents", IntentStore)


async def life(app: web.Application) -> AsyncIterator[None]:
    """One manager for the life of the process."""
    app[COMPANIES] = Companies.from_env()
    app[INTENTS] = IntentStore()
    async with SessionManager.from_env() as manager:
        app[MANAGER] = manager
        yield
    await app[INTENTS].close()


async def end_calls(app: web.Application) -> None:
    """On SIGTERM, give the calls in flight their grace, while clients still listen."""
    await app[MANAGER].close(GRACE_SECONDS)


def account_of(request: web.Request) -> AccountSession:
    """Return a handle for this request: no I/O, some microseconds."""
    name = request.match_info["account"]
    key = request.app[COMPANIES].key_of(name)
    if key is None:
        raise web.HTTPNotFound(text="not a company of ours")
    return request.app[MANAGER].account(name, key)


def deadline(request: web.Request) -> float:
    """Return the one deadline of all that a request does."""
    return deadline_of(request.headers.get("X-Deadline-Seconds"))


async def ensure(request: web.Request) -> web.Response:
    """Bring it about that the sequence is there. Safe to ask again."""
    new = await request.json()
    account, intents = account_of(request), request.app[INTENTS]
    ensured = await account.sequences.ensure(
        new["serie"],
        default=new.get("default", False),
        on_intent=intents.keep,
        timeout_seconds=deadline(request),
    )
    if ensured.created:
        await intents.settle(account.name, ensured.sequence)
    return web.json_response(body_of(ensured.sequence), status=201 if ensured.created else 200)


async def show_all(request: web.Request) -> web.Response:
    """List them."""
    sequences = await account_of(request).sequences.list(timeout_seconds=deadline(request))
    return web.json_response([body_of(one) for one in sequences])


async def resume(request: web.Request) -> web.Response:
    """Find out the outcome of a request whose response was lost. Only reads."""
    account, intents = account_of(request), request.app[INTENTS]
    intent = await intents.find(account.name, request.match_info["token"])
    if intent is None:
        raise web.HTTPNotFound(text="nothing was sent under that name")
    sequence = await account.sequences.resume(intent, timeout_seconds=deadline(request))
    await intents.settle(account.name, sequence)
    return web.json_response(body_of(sequence))


async def health(request: web.Request) -> web.Response:
    """Whether to send requests here, and counters."""
    found = request.app[MANAGER].health()
    return web.json_response(found, status=200 if found["is_open"] else 503)


@web.middleware
async def show_error(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors with what happened and what to do; no text of the package's holds a secret."""
    try:
        return await handler(request)
    except OutcomeUnknownError as error:
        # It was sent, its outcome is unknown, and here is where to ask.
        link = resume_path(error.intent["account"], token_of(error.intent))
        return web.json_response({"resume": link}, status=202, headers={"Location": link})
    except InvoiceXpressError as error:
        return web.json_response({"error": str(error)}, status=status_of(error))


def make_app() -> web.Application:
    """Put it together."""
    app = web.Application(middlewares=[show_error])
    app.cleanup_ctx.append(life)
    app.on_shutdown.append(end_calls)
    app.router.add_post("/companies/{account}/sequences", ensure)
    app.router.add_get("/companies/{account}/sequences", show_all)
    app.router.add_get("/companies/{account}/sequences/resume/{token}", resume)
    app.router.add_get("/health", health)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    web.run_app(
        make_app(),
        host="127.0.0.1",
        port=port,
        print=None,
        access_log=None,
        # What is done for a client that hangs up is cancelled: others want its place. What had
        # been sent by then is in the store, and is never sent again.
        handler_cancellation=True,
        shutdown_timeout=5.0,
    )


if __name__ == "__main__":
    main()
