"""The command that ran a job last, kept in its journal for people to repeat."""

from typing import Final

import attrs

from invoicexpress_async.jobs.journal import Change, Column, Commit, Entry, Journal, Table

LAST_COMMAND: Final = Table(
    name="last_command",
    key=("name",),
    columns=(Column("line", str), Column("folder", str), Column("resend_absent_after", float)),
)
LAST_COMMAND_KEY: Final = ("last",)


@attrs.frozen(kw_only=True)
class LastCommand:
    """A command as it was typed.

    Attributes:
        line: For a shell, with `{program}` for the program's name; no secret is in it.
        folder: Where it was typed: a name of a file may be relative to it.
        resend_absent_after: As in `RunSettings`.
    """

    line: str
    folder: str
    resend_absent_after: float | None

    async def keep_if_first(self, journal: Journal) -> None:
        """Write it, if the journal has none yet.

        Raises:
            JournalError: it cannot be written.
        """
        await journal.prepare(LAST_COMMAND)
        await journal.insert(LAST_COMMAND, [{"name": "last", **attrs.asdict(self)}])

    def keep(self, journal: Journal) -> Commit:
        """Write it in place of an earlier one, once the journal has taken its plan."""
        return journal.write(Change(LAST_COMMAND, LAST_COMMAND_KEY, attrs.asdict(self)))

    @classmethod
    def read(cls, entry: Entry) -> "LastCommand | None":
        """Return what a journal has, or None."""
        if not entry or entry["line"] is None:
            return None
        seconds = entry["resend_absent_after"]
        return cls(
            line=str(entry["line"]),
            folder=str(entry["folder"]),
            resend_absent_after=None if seconds is None else float(seconds),
        )
