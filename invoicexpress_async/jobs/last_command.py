"""The last command that ran a job, kept in its journal so that people can repeat it."""

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
        line: The command line, with `{program}` for the program's name; it contains no secret.
        folder: The folder where it was typed: file names may be relative to it.
        resend_absent_after: As in `RunSettings`.
    """

    line: str
    folder: str
    resend_absent_after: float | None

    async def keep_if_first(self, journal: Journal) -> None:
        """Write the command, if the journal has none yet.

        Raises:
            JournalError: the command cannot be written.
        """
        await journal.prepare(LAST_COMMAND)
        await journal.insert(LAST_COMMAND, [{"name": "last", **attrs.asdict(self)}])

    def keep(self, journal: Journal) -> Commit:
        """Replace an earlier command. Call it after the journal has accepted the plan."""
        return journal.write(Change(LAST_COMMAND, LAST_COMMAND_KEY, attrs.asdict(self)))

    @classmethod
    def read(cls, entry: Entry) -> "LastCommand | None":
        """Return the command of a journal's entry, or None."""
        if not entry or entry["line"] is None:
            return None
        seconds = entry["resend_absent_after"]
        return cls(
            line=str(entry["line"]),
            folder=str(entry["folder"]),
            resend_absent_after=None if seconds is None else float(seconds),
        )
