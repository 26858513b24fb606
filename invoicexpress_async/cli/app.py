"""The cyclopts application, and the errors of wrong usage."""

import re
from typing import Final

from cyclopts import App, CycloptsError, UnusedCliTokensError
from cyclopts.help import DefaultFormatter
from rich.console import Console, ConsoleOptions
from rich.text import Text

from invoicexpress_async.cli.commands import COMMANDS, examples_of, overview
from invoicexpress_async.cli.failures import print_failure, show_error
from invoicexpress_async.cli.shell import INTERRUPTED, program, typed
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError

_NEEDED: Final = re.compile(r'Command "(.+?)" parameter (\S+) requires an argument\.')
_NOT_CONVERTED: Final = re.compile(r'unable to convert "(.*)" into (int|float|date)\.')
_FORMS: Final = {
    "int": "a whole number, such as 2027",
    "float": "a number, such as 0.5",
    "date": "a day, such as 2027-01-15",
}
_KEY_OPTIONS: Final = ("--api-key", "--api_key", "--apikey", "--key")


def build() -> App:
    """Return the application; its commands are imported when they are called."""
    app = App(
        name="invoicexpress",
        help=overview(),
        help_formatter=_HelpFormatter(),
        help_format="plaintext",  # the other formats import a Markdown parser
        version_flags=(),
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
    )
    for command in COMMANDS:
        # An application of its own, such as `sequences`, takes no text from here.
        examples = {"help_epilogue": text} if (text := examples_of(command.name)) else {}
        app.command(command.import_path, name=command.name, **examples)
    return app


class _HelpFormatter(DefaultFormatter):
    """Wraps a description at the width of the terminal only, and not where its source does."""

    def render_description(
        self, console: Console, options: ConsoleOptions, description: object
    ) -> None:
        """Print a description."""
        text = getattr(description, "primary_renderable", None)
        if not isinstance(text, Text):
            super().render_description(console, options, description)
            return
        parts = text.plain.split("\n\n")
        wrapped = Text("\n\n".join(" ".join(one.split()) for one in parts))
        console.print(wrapped, end="\n\n")


def dispatch(tokens: list[str]) -> int:
    """Run the command and return its exit code; errors of this package are shown."""
    as_json = "--json" in tokens
    error: InvoiceXpressError
    try:
        _refuse_key(tokens)
        _refuse_leading_option(tokens)
        # cyclopts takes a lone hyphen for an option; as a path this is the same.
        with typed(tokens):
            result: object = build()(["./-" if token == "-" else token for token in tokens])  # noqa: S105  # no password
        return result if isinstance(result, int) else 0
    except UnusedCliTokensError:
        # Its own text repeats them, and one may be a key.
        error = ConfigurationError("There are more arguments than the command takes.")
    except CycloptsError as usage:
        error = ConfigurationError(_usage_text(str(usage), tokens[0]))
    except InvoiceXpressError as failure:
        error = failure
    except (KeyboardInterrupt, SystemExit) as end:
        # cyclopts turns the first into the second.
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print_failure("Interrupted.", as_json=as_json)
        return INTERRUPTED
    return show_error(error, as_json=as_json)


def _usage_text(text: str, command: str) -> str:
    """Return what is wrong with the arguments, the form that is expected, and where to look."""
    text = _NEEDED.sub(r'"\1" needs \2.', text)
    text = _NOT_CONVERTED.sub(lambda found: f'"{found[1]}" is not {_FORMS[found[2]]}.', text)
    is_known = any(one.name == command for one in COMMANDS)
    return f"{text} See: {program()} help {command}" if is_known else text


def _refuse_key(tokens: list[str]) -> None:
    # Before anything could print the arguments: this one may hold the key.
    if any(token.partition("=")[0] in _KEY_OPTIONS for token in tokens):
        raise ConfigurationError(
            "A key is never an argument: the process list would show it. Put it into "
            "INVOICEXPRESS_API_KEY, or into a file that --api-key-file names."
        )


def _refuse_leading_option(tokens: list[str]) -> None:
    if tokens[0].startswith("-"):
        raise ConfigurationError(
            f"The command comes first, and options after it, as in: {program()} sequences list "
            "--json. --help alone shows the commands."
        )
