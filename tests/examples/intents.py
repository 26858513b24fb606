"""Where a service keeps what it has sent, so that neither a crash nor a lost response loses it."""

import asyncio
import hashlib
import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from invoicexpress_async import Intent, Sequence

_TABLE = """CREATE TABLE IF NOT EXISTS intents (token TEXT PRIMARY KEY, account TEXT NOT NULL,
    serie TEXT, sequence_id INTEGER, intent TEXT NOT NULL, is_settled INTEGER DEFAULT 0)"""


def token_of(intent: Intent) -> str:
    """Return the name under which an intent is kept: one for each thing that may be sent once."""
    what = (intent["account"], intent["operation"], intent["serie"], intent["sequence_id"])
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:20]


class IntentStore:
    """Intents in SQLite, written by one thread, on the disk before the request leaves."""

    def __init__(self, path: str | Path | None = None) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="intents")
        path = path or os.environ.get("INTENTS_FILE", "intents.sqlite3")
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(_TABLE)

    async def keep(self, intent: Intent) -> None:
        """Keep an intent. This is what `on_intent=` wants."""
        values = intent["account"], intent["serie"], intent["sequence_id"], json.dumps(intent)
        await self._run(
            "INSERT OR REPLACE INTO intents (token, account, serie, sequence_id, intent)"
            " VALUES (?, ?, ?, ?, ?)",
            token_of(intent),
            *values,
        )

    async def find(self, account: str, token: str) -> Intent | None:
        """Return the intent that an account has under a token."""
        rows = await self._run(
            "SELECT intent FROM intents WHERE account = ? AND token = ?", account, token
        )
        return cast("Intent", json.loads(rows[0][0])) if rows else None

    async def settle(self, account: str, sequence: Sequence) -> None:
        """Note that a sequence is known to be there: nothing of it is left to be resumed."""
        await self._run(
            "UPDATE intents SET is_settled = 1"
            " WHERE account = ? AND (serie = ? OR sequence_id = ?)",
            *(account, sequence.serie, sequence.id),
        )

    async def close(self) -> None:
        """Finish what is being written."""
        await asyncio.to_thread(self._thread.shutdown)
        self._database.close()

    async def _run(self, statement: str, *values: object) -> list[tuple[str]]:
        loop = asyncio.get_running_loop()
        # A cancelled request must not leave it open whether its intent was written.
        return await asyncio.shield(
            loop.run_in_executor(
                self._thread, lambda: self._database.execute(statement, values).fetchall()
            )
        )
