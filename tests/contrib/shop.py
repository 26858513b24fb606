"""A shop that has an application of Procrastinate; each worker of it is such a process."""

import asyncio
import os

from procrastinate import App, PsycopgConnector

from invoicexpress_async import RetryPolicy, SessionManager
from invoicexpress_async.procrastinate import sequence_tasks
from invoicexpress_async.provisioning import PostgresJournal

URL = os.environ["SHOP_URL"]
LEASE_SECONDS = 1.0


def open_journal() -> PostgresJournal:
    return PostgresJournal(URL, slices=4, lease_seconds=LEASE_SECONDS, window_seconds=0.1)


def open_manager() -> SessionManager:
    quick = RetryPolicy(read_after_seconds=(0.05, 0.2, 0.5))
    return SessionManager(base_url=os.environ["SHOP_API"], retry=quick)


async def keys(_: str) -> str:
    return os.environ["SHOP_KEY"]


app = App(connector=PsycopgConnector(conninfo=URL))
sequence_tasks(
    app,
    journal=open_journal,
    keys=keys,
    manager=open_manager,
    concurrency=2,
    sweep_cron="* * * * * *",
)


async def main() -> None:
    async with app.open_async():
        await app.run_worker_async(
            concurrency=2, fetch_job_polling_interval=0.2, shutdown_graceful_timeout=0.1
        )


if __name__ == "__main__":
    asyncio.run(main())
