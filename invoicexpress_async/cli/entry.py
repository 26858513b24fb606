"""Runs the command of the arguments. The overview and the version need no cyclopts or rich."""

import sys

from invoicexpress_async.cli.commands import overview
from invoicexpress_async.cli.shell import DONE, guarded


def run(tokens: list[str]) -> int:
    """Run the command given by the arguments and return its exit code."""
    return guarded(lambda: _run(tokens))


def _run(tokens: list[str]) -> int:
    if not tokens or tokens in (["--help"], ["-h"]):
        sys.stdout.write(overview())
        return DONE
    if tokens[0] == "help":
        # `help COMMAND` is COMMAND --help.
        return _run([*tokens[1:], "--help"])
    if tokens == ["--version"]:
        from importlib.metadata import version  # noqa: PLC0415  # a third of the time of the help

        sys.stdout.write(f"invoicexpress-async {version('invoicexpress-async')}\n")
        return DONE
    from invoicexpress_async.cli.app import dispatch  # noqa: PLC0415  # not for the help

    return dispatch(tokens)
