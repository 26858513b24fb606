"""The cyclopts application, and the texts for wrong usage."""

import itertools
import re
from typing import Final

import attrs
from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError
from cyclopts.help import DefaultFormatter, HelpPanel
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
_NAMES: Final = {
    "PATH|STR": "FILE|URL",
    "PATH": "FILE",
    "STR": "TEXT",
    "INT": "NUMBER",
    "FLOAT": "NUMBER",
    "DATE": "DAY",
}
_TYPES: Final = re.compile(rf"\b({'|'.join(map(re.escape, _NAMES))})\b")
_HINTS: Final = (
    (
        '" needs ',
        frozenset({"--only", "--exclude"}),
        "--only and --exclude take every name that follows: put the file before them.",
    ),
    (
        "Unknown option: --offline",
        frozenset({"--offline"}),
        "Only `provision` has it: its --dry-run --offline checks a file without a network.",
    ),
)
# Rich wraps for ever where nothing fits beside a frame; a pseudo-terminal may have no width at all.
_NARROWEST: Final = 20
_KEY_OPTIONS: Final = ("--api-key", "--api_key", "--apikey", "--key")


def build() -> App:
    """Return the application; its commands are imported when they are called."""
    console = Console()
    console.width = max(console.width, _NARROWEST)
    app = App(
        name="invoicexpress",
        console=console,
        help=overview(),
        help_formatter=_HelpFormatter(),
        help_format="plaintext",  # the other formats import a Markdown parser
        version_flags=(),
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
        # An option is given or not: no --no-option, and no "[default: False]" in the help.
        default_parameter=Parameter(
            negative=(),
            show_default=lambda value: value if value and value is not True else None,
        ),
    )
    for command in COMMANDS:
        # A group of commands, such as `sequences`, adds its examples itself.
        examples = {} if command.is_group else {"help_epilogue": examples_of(command.name)}
        app.command(command.import_path, name=command.name, **examples)
    return app


def _in_words(name: str) -> str:
    return _TYPES.sub(lambda found: _NAMES[found[0]], name)


class _HelpFormatter(DefaultFormatter):
    """Wraps descriptions at the width of the terminal, and shows no Python types."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        entries = [
            attrs.evolve(one, metavar=one.metavar and _in_words(one.metavar))
            if getattr(one, "metavar", None)  # older versions of cyclopts lack it
            else one
            for one in panel.entries
        ]
        super().__call__(console, options, attrs.evolve(panel, entries=entries))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: object) -> None:
        text = _in_words(str(usage)).replace("invoicexpress", program(), 1)
        super().render_usage(console, options, text)

    def render_description(
        self, console: Console, options: ConsoleOptions, description: object
    ) -> None:
        text = getattr(description, "primary_renderable", None)
        if not isinstance(text, Text):
            super().render_description(console, options, description)
            return
        parts = text.plain.split("\n\n")
        wrapped = Text("\n\n".join(" ".join(one.split()) for one in parts))
        console.print(wrapped, end="\n\n")


def dispatch(tokens: list[str]) -> int:
    """Run the command and return its exit code. Errors of this package are printed."""
    as_json = "--json" in tokens
    error: InvoiceXpressError
    try:
        _refuse(tokens)
        # cyclopts takes a lone hyphen as an option; the path "./-" means the same.
        with typed(tokens):
            result: object = build()(["./-" if token == "-" else token for token in tokens])  # noqa: S105  # no password
        return result if isinstance(result, int) else 0
    except UnusedCliTokensError:
        # The text of cyclopts repeats the arguments, and one may be a key.
        error = ConfigurationError("There are more arguments than the command takes.")
    except CycloptsError as usage:
        error = ConfigurationError(_usage_text(str(usage), tokens))
    except InvoiceXpressError as failure:
        error = failure
    except (KeyboardInterrupt, SystemExit) as end:
        # cyclopts turns a KeyboardInterrupt into a SystemExit.
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print_failure("Interrupted.", as_json=as_json)
        return INTERRUPTED
    return show_error(error, as_json=as_json)


def _usage_text(text: str, tokens: list[str]) -> str:
    """Return what is wrong with the arguments, the form expected, and the help to read."""
    text = _NEEDED.sub(r'"\1" needs \2.', text)
    text = _NOT_CONVERTED.sub(lambda found: f'"{found[1]}" is not {_FORMS[found[2]]}.', text)
    hints = (hint for part, options, hint in _HINTS if part in text and options & {*tokens})
    text = " ".join((text, *hints))
    command = next((one for one in COMMANDS if one.name == tokens[0]), None)
    if command is None:
        return text
    names = itertools.takewhile(lambda one: not one.startswith("-"), tokens)
    typed_names = itertools.islice(names, 2 if command.is_group else 1)
    return f"{text} See: {program()} help {' '.join(typed_names)}"


def _refuse(tokens: list[str]) -> None:
    # First of all, before anything prints the arguments, since this one may hold the key.
    if any(token.partition("=")[0] in _KEY_OPTIONS for token in tokens):
        raise ConfigurationError(
            "A key is never an argument: the process list would show it. Put it into "
            "INVOICEXPRESS_API_KEY, or into a file that --api-key-file names."
        )
    if tokens[0].startswith("-"):
        raise ConfigurationError(
            f"The command comes first, and options after it, as in: {program()} sequences list "
            "--json. --help alone shows the commands."
        )
