"""The sandbox's state in a file, so that it survives a restart."""

import asyncio
import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, cast

import attrs

from invoicexpress_async.sandbox.domain.account_state import AccountState
from invoicexpress_async.sandbox.domain.accounts import make_account
from invoicexpress_async.sandbox.domain.engine import Engine
from invoicexpress_async.sandbox.domain.rows import SequenceRow

_VERSION = 1


def restore(engine: Engine, path: Path) -> None:
    """Fill an empty engine from a file.

    Raises:
        ValueError: The file is not a sandbox's state, or is of another version.
    """
    try:
        state = _read(path)
        engine.generator.next_id, engine.generator.next_code = state["next_id"], state["next_code"]
        for account in state["accounts"]:
            _restore_account(engine, account)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not the state of a sandbox: {error}") from None


def dump(engine: Engine) -> str:
    state = {
        "version": _VERSION,
        "next_id": engine.generator.next_id,
        "next_code": engine.generator.next_code,
        "accounts": [_dump_account(one) for one in engine.states.values()],
    }
    return json.dumps(state, ensure_ascii=False)


def save(path: Path, text: str) -> None:
    """Replace the file atomically. Only its owner can read it, since it holds the keys."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # created 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


@attrs.define(eq=False)
class StateStore:
    """Saves an engine shortly after it has changed, and once more on close."""

    _engine: Engine
    _path: Path
    _delay_seconds: float = 0.5
    _saved_revision: int = attrs.field(default=-1, init=False)
    _closing: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _saving: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    def note_change(self) -> None:
        is_idle = self._saving is None or self._saving.done()
        if is_idle and self._engine.revision != self._saved_revision:
            self._saving = asyncio.create_task(self._save_soon())

    async def close(self) -> None:
        self._closing.set()
        if self._saving is not None:
            await self._saving
        # This save also includes registrations that ended only because time passed.
        await self._save()

    async def _save_soon(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), self._delay_seconds)
        while self._saved_revision != self._engine.revision:
            await self._save()

    async def _save(self) -> None:
        revision = self._engine.revision
        await asyncio.to_thread(save, self._path, dump(self._engine))
        self._saved_revision = revision


def _read(path: Path) -> dict[str, Any]:
    state = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    if state["version"] != _VERSION:
        raise ValueError(f"its version is {state['version']!r}")
    return state


def _dump_account(state: AccountState) -> dict[str, object]:
    account = state.account
    settings = {
        **attrs.asdict(account, recurse=False),
        "refusals": dict(account.refusals),
        "details": dict(account.details),
        "at_failures": dict(account.at_failures),
    }
    return {"settings": settings, "sequences": [_dump_row(one) for one in state.rows]}


def _dump_row(row: SequenceRow) -> dict[str, object]:
    # Times on the clock of this run have no meaning in the next one.
    fields: dict[str, object] = attrs.asdict(
        row, filter=lambda field, _: field.name != "listed_from"
    )
    return fields | {"is_registering": fields.pop("registering_until") is not None}


def _restore_account(engine: Engine, saved: dict[str, Any]) -> None:
    account = make_account(saved["settings"])
    engine.add_account(account)
    for row in saved["sequences"]:
        flags = {name: row.pop(name) for name in ("is_registering", "is_new")}
        engine.restore_sequence(account.name, SequenceRow(**row), **flags)
