"""faults.md, "Secrets and surroundings": a canary key, looked for everywhere.

The canary is in the tests' own frames, of course; those are left out.
"""

import asyncio
import base64
import copy
import json
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus

import aiohttp
import attrs
import cattrs
import pytest
from conftest import ACCOUNT
from fakes import FakeClock

from invoicexpress_async import (
    AccountSession,
    AuthenticationError,
    ConfigurationError,
    MalformedResponseError,
    SessionManager,
    Timeouts,
    UnexpectedRedirectError,
)
from invoicexpress_async.sandbox import FAULT_NAMES, FaultServer, SandboxAccount

CANARY = 'canary&#+% é"0123456789'
FORMS = (
    CANARY,
    quote(CANARY, safe=""),
    quote_plus(CANARY),
    json.dumps(CANARY)[1:-1],
    json.dumps(CANARY, ensure_ascii=False)[1:-1],
    base64.b64encode(CANARY.encode()).decode(),
    repr(CANARY.encode())[2:-1],
)


def sightings(text: str) -> list[str]:
    return [form for form in FORMS if form in text]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that hangs on it, suppressed or not."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        waiting += list(getattr(one, "exceptions", ()))


def frames_of(error: BaseException) -> Iterator[str]:
    """Every frame with its locals, but those of the tests themselves, which made the canary."""
    for frame in traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), capture_locals=True
    ):
        if "/tests/" not in frame.filename and "pytest" not in frame.filename:
            yield f"{frame.filename}:{frame.lineno} {frame.locals}"


def seen_in(error: BaseException) -> str:
    """All that an error can show to anybody."""
    texts: list[str] = []
    for one in chain(error):
        texts += [str(one), repr(one), repr(one.args), repr(vars(one)), *frames_of(one)]
        texts += ["".join(traceback.format_exception(one)), *getattr(one, "__notes__", ())]
        texts.append(repr(pickle.dumps(one.args)))
    if error.__class__.__module__.startswith("invoicexpress_async"):
        texts += [pickle.dumps(error).decode("latin-1"), str(copy.copy(error))]
        intent = getattr(error, "intent", None)
        texts.append(json.dumps(intent))
    return "\n".join(texts)


class Spy:
    """A user's trace configuration that keeps every text it is shown."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.trace = aiohttp.TraceConfig()
        for name in dir(self.trace):
            if name.startswith("on_"):
                getattr(self.trace, name).append(self._note)

    async def _note(self, session: object, context: SimpleNamespace, params: object) -> None:
        self.texts += [repr(session), repr(context), repr(vars(context)), repr(params)]
        for name in ("url", "headers", "exception", "response"):
            value = getattr(params, name, None)
            self.texts += [repr(value), str(value)]
        response = getattr(params, "response", None)
        if isinstance(response, aiohttp.ClientResponse):
            self.texts += [str(response.url), str(response.real_url), repr(response.request_info)]
            self.texts += [str(response.request_info.url), str(response.request_info.real_url)]


# Only against these is an attempt cut short; a slow machine must not cut the others.
HANGING = frozenset(
    {"hang_on_accept", "hang_unread", "timeout", "stall", "slicer", "bandwidth", "endless_chunks"}
)


@pytest.fixture
async def watched(
    request: pytest.FixtureRequest, clock: FakeClock
) -> AsyncIterator[tuple[FaultServer, AccountSession, Spy]]:
    """A server that fails on demand, an account whose key is the canary, and a spy."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.005
    account = SandboxAccount(name=ACCOUNT, api_key=CANARY)
    spy = Spy()
    is_hanging = (
        not HANGING.isdisjoint(request.node.callspec.id.split("-"))
        if hasattr(request.node, "callspec")
        else False
    )
    async with (
        FaultServer(accounts=[account], clock=clock.now, sleep=clock.sleep) as server,
        SessionManager(
            base_url=server.base_url,
            clock=clock,
            timeouts=Timeouts(attempt_seconds=0.1 if is_hanging else 20.0),
            trace_configs=[spy.trace],
        ) as manager,
    ):
        yield server, manager.account(ACCOUNT, CANARY), spy


@pytest.fixture
def sinks(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> Callable[[], str]:
    """What was logged at DEBUG, printed and warned of."""
    caplog.set_level(logging.DEBUG)

    def read() -> str:
        warned = [str(warning.message) for warning in recwarn]
        return "\n".join([caplog.text, *capfd.readouterr(), *warned])

    return read


@pytest.mark.fault(55)
@pytest.mark.parametrize("operation", ["create", "list"])
@pytest.mark.parametrize("name", FAULT_NAMES)
async def test_no_fault_brings_the_key_to_light(
    name: str,
    operation: str,
    watched: tuple[FaultServer, AccountSession, Spy],
    sinks: Callable[[], str],
) -> None:
    server, account, spy = watched
    server.faults.next(name, times=None)

    shown = ""
    try:
        if operation == "create":
            await account.sequences.create("2027")
        else:
            shown = repr(await account.sequences.list())
    except Exception as error:  # noqa: BLE001  # whatever comes is looked through
        shown = seen_in(error)

    assert sightings("\n".join([shown, sinks(), *spy.texts])) == []


@pytest.mark.fault(55)
@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize("name", ["hang_on_accept", "timeout", "stall", "hang_unread"])
async def test_a_cancellation_does_not_carry_the_key(
    how: str, name: str, watched: tuple[FaultServer, AccountSession, Spy]
) -> None:
    server, account, _ = watched
    server.faults.next(name, times=None)

    async def create_in_time() -> None:
        async with asyncio.timeout(0.05 if how == "timeout" else None):
            await account.sequences.create("2027")

    task = asyncio.create_task(create_in_time())
    if how == "cancel":
        while not server.oracle.connections_total:  # noqa: ASYNC110  # a count has no event
            await asyncio.sleep(0)
        task.cancel()
    with pytest.raises((TimeoutError, asyncio.CancelledError)) as caught:
        await task

    assert sightings(seen_in(caught.value)) == []


@pytest.mark.fault(55)
async def test_no_public_object_shows_the_key(
    watched: tuple[FaultServer, AccountSession, Spy],
) -> None:
    _, account, _ = watched
    await account.sequences.create("2027")
    known: set[int] = set()

    def walk(value: object, depth: int = 0) -> Iterator[str]:
        if id(value) in known or depth > 6:
            return
        known.add(id(value))
        yield repr(value)
        inner = getattr(value, "__dict__", {})
        slots = [getattr(value, name, None) for name in getattr(type(value), "__slots__", ())]
        if type(value).__name__ != "Secret" and type(value).__module__.startswith("invoicexpress"):
            for one in [*inner.values(), *slots]:
                yield from walk(one, depth + 1)

    texts = list(walk(account))

    assert len(texts) > 10
    assert sightings("\n".join(texts)) == []
    for turn in (attrs.asdict, cattrs.unstructure):
        link = vars(account)["_context"]
        assert sightings(repr(turn(link))) == []
    for public in (account, account.sequences):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(public)


@pytest.mark.fault(56)
@pytest.mark.parametrize("where", ["body", "header", "location"])
async def test_an_echo_of_the_key_is_redacted(
    where: str, watched: tuple[FaultServer, AccountSession, Spy]
) -> None:
    server, account, _ = watched
    body = json.dumps({"errors": {"error": f"bad key {CANARY} ({quote(CANARY, safe='')})"}})
    options: dict[str, Any] = {
        "body": {"status": 401, "body": body},
        "header": {"status": 429, "headers": [("X-Key", quote(CANARY)), ("Retry-After", "999")]},
        "location": {"status": 302, "location": f"https://{quote(CANARY, safe='')}.evil.test/"},
    }[where]
    server.faults.next("status", **options)

    with pytest.raises(Exception, match=r"refused|redirected") as caught:
        await account.sequences.list()

    assert sightings(seen_in(caught.value)) == []
    if where == "body":
        assert isinstance(caught.value, AuthenticationError)
        assert "[redacted]" in caught.value.messages[0]


@pytest.mark.fault(56)
async def test_an_echo_in_a_page_or_a_field_is_redacted(
    watched: tuple[FaultServer, AccountSession, Spy],
) -> None:
    server, account, _ = watched
    page = f"<html>{CANARY} {quote_plus(CANARY)}</html>"
    server.faults.next("status", status=200, body=page, operation="list")
    with pytest.raises(MalformedResponseError) as caught:
        await account.sequences.list()
    assert "[redacted]" in caught.value.excerpt
    assert sightings(seen_in(caught.value)) == []

    row = {"id": 7, "serie": "2027", "default_sequence": 0, "callback": f"https://x/?k={CANARY}"}
    server.faults.next("status", status=200, body=json.dumps({"sequences": [row]}))
    (sequence,) = await account.sequences.list()
    assert sightings(repr(sequence)) == []
    assert "[redacted]" in str(sequence.extra["callback"])


@pytest.mark.fault(57)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_a_proxy_of_the_environment_is_not_used(
    variable: str, faulty: FaultServer, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    requested: list[object] = []
    proxy = await asyncio.start_server(lambda *streams: requested.append(streams), "127.0.0.1", 0)
    monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")

    key = faulty.accounts[ACCOUNT].api_key
    async with proxy, SessionManager(base_url=faulty.base_url, clock=clock) as manager:
        await manager.account(ACCOUNT, key).sequences.list()

    assert requested == []


@pytest.mark.fault(57)
async def test_a_proxy_that_is_given_sees_the_host_and_never_the_key() -> None:
    heard: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    url = f"http://user:canary-password@127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    async with proxy, SessionManager(proxy=url) as manager:
        with pytest.raises(ConnectionError) as caught:
            await manager.account(ACCOUNT, CANARY).sequences.create("2027")

    assert heard[0].startswith(b"CONNECT acme.app.invoicexpress.com:443 ")
    assert sightings(b"".join(heard).decode("latin-1")) == []
    assert "canary-password" not in seen_in(caught.value)


@pytest.mark.fault(58)
@pytest.mark.parametrize(
    "base_url", ["http://{account}.app.invoicexpress.com", "http://192.168.1.1/{account}"]
)
def test_plain_http_is_for_this_machine_only(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="must be https"):
        SessionManager(base_url=base_url)


@pytest.mark.fault(59)
async def test_a_session_cookie_never_reaches_the_server_again(
    faulty: FaultServer, clock: FakeClock
) -> None:
    faulty.add_account("beta")
    faulty.faults.next("shared_cookie", times=None)
    async with SessionManager(base_url=faulty.base_url, clock=clock) as manager:
        for name in (ACCOUNT, "beta", ACCOUNT):
            await manager.account(name, faulty.accounts[name].api_key).sequences.list()

    assert not any(request.has_cookie for request in faulty.requests)


@pytest.mark.fault(28, 56)
async def test_the_key_is_not_sent_to_another_origin(
    watched: tuple[FaultServer, AccountSession, Spy],
) -> None:
    server, account, _ = watched
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65_536))
        writer.close()

    other = await asyncio.start_server(listen, "127.0.0.1", 0)
    location = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/"
    server.faults.next("status", status=307, location=location)
    async with other:
        with pytest.raises(UnexpectedRedirectError):
            await account.sequences.list()

    assert heard == []
