"""The journal in a SQLite file. Nothing outside this folder knows SQL."""

from invoicexpress_async.jobs.sqlite.journal import SqliteJournal
from invoicexpress_async.jobs.sqlite.reader import JournalFile
from invoicexpress_async.jobs.sqlite.seen import SeenLine, SeenLines, SortedRows

__all__ = ["JournalFile", "SeenLine", "SeenLines", "SortedRows", "SqliteJournal"]
