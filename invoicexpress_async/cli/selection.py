"""The options that choose some of a file's accounts or companies; the others stay in the job."""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated

import attrs
from cyclopts import Parameter

from invoicexpress_async.cli.shell import printable
from invoicexpress_async.errors import ConfigurationError

_NAMES = Parameter(consume_multiple=True, negative=(), show_default=False)


@Parameter(name="*")
@attrs.frozen(kw_only=True, slots=False)  # a job inherits from more than one set of options
class SelectionOptions:
    """Which of the file are meant."""

    only: Annotated[
        tuple[str, ...],
        _NAMES,
        Parameter(
            help="Only these of the file: names of accounts, or fiscal numbers of companies. The "
            "plan and the journal stay those of the whole file."
        ),
    ] = ()
    exclude: Annotated[tuple[str, ...], _NAMES, Parameter(help="All of the file but these.")] = ()
    limit: Annotated[int | None, Parameter(help="Only the first so many of the file.")] = None

    def choose(self, names: Iterable[str]) -> frozenset[str] | None:
        """Return which names are meant; None for all.

        Raises:
            ConfigurationError: a name that the file has not, a limit below 1, or none is left.
        """
        if not (self.only or self.exclude or self.limit is not None):
            return None
        if self.limit is not None and self.limit < 1:
            raise ConfigurationError("Give a --limit of 1 or more.")
        known = list(dict.fromkeys(names))
        only, exclude = _split(self.only), _split(self.exclude)
        for option, given in (("--only", only), ("--exclude", exclude)):
            if absent := sorted(given - set(known)):
                raise ConfigurationError(
                    f"{option} names {printable(absent[0])!r}, which the file has not."
                )
        left = (one for one in known if (not only or one in only) and one not in exclude)
        chosen = frozenset(islice(left, self.limit))
        if not chosen:
            raise ConfigurationError("--only and --exclude leave nothing of the file.")
        return chosen


def _split(given: Iterable[str]) -> set[str]:
    parts = (part.strip().lower() for one in given for part in one.split(","))
    return {part for part in parts if part}
