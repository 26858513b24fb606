"""The commands in real terminals, as recorded by `python tests/terminals.py`."""

import asyncio
from pathlib import Path

import pytest
from terminals import TERMINALS, Terminal, record


@pytest.mark.parametrize("terminal", TERMINALS, ids=lambda one: one.name)
async def test_a_terminal_shows_what_was_recorded(terminal: Terminal, tmp_path: Path) -> None:
    written, shown = await record(terminal, tmp_path)

    assert shown == await asyncio.to_thread(terminal.path.read_text)
    # A command is to be copied: only its line may be longer than the terminal.
    lines = [line for line in shown.splitlines() if " invoicexpress " not in line]
    assert max(map(len, lines)) <= terminal.columns
    assert ("\x1b[1m" in written) is (terminal.variables.get("TERM") != "dumb")
    assert ("\x1b[32m" in written) is not terminal.is_plain
