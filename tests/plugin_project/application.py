"""A program that knows nothing of tests: it takes its settings from the environment."""

import asyncio

from invoicexpress_async import SessionManager


async def provision(serie: str) -> bool:
    async with SessionManager() as manager:
        ensured = await manager.account().sequences.ensure(serie, default=True)
    return ensured.created


def main() -> None:
    print("created" if asyncio.run(provision("2027")) else "it was there")  # noqa: T201


if __name__ == "__main__":
    main()
