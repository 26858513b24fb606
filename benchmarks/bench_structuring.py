"""The cost of a create if cattrs structured `Sequence` and its states from the nested row.

The package makes the states of a row's 15 document types when they are first read. Here a hook
nests the row and cattrs structures all of it, with its fastest generated functions, which do not
even collect all problems of a row. Both, and a whole create, run in turns in one process.
`python benchmarks/bench_structuring.py [rounds]`
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import cattrs
from canned_server import canned_responses, canned_server
from cattrs import override
from cattrs.gen import make_dict_structure_fn

from invoicexpress_async import DocumentSequenceState, Sequence, SessionManager
from invoicexpress_async.protocol.exchange import (
    loads,
    structure_code,
    structure_count,
    structure_flag,
    structure_id,
    structure_serie,
)
from invoicexpress_async.protocol.sequences import (
    RowHook,
    make_converter,
    structure_one,
)
from invoicexpress_async.protocol.strict import make_strict_converter

_KEY = "benchmark-key-0123456789"
_SERIE = "2023"  # the serie in the canned response
_CALLS = 100


def _of(structure: Callable[[object, str], object], path: str) -> Any:  # noqa: ANN401  # what override() returns has no public name
    return override(struct_hook=lambda value, _: structure(value, path))


def _nesting_converter() -> cattrs.Converter:
    converter = make_strict_converter()
    hooks = RowHook()
    state = make_dict_structure_fn(
        DocumentSequenceState,
        converter,
        _cattrs_detailed_validation=False,
        number=_of(structure_count, "number"),
        sequence_id=_of(structure_count, "sequence_id"),
        validation_code=_of(structure_code, "validation_code"),
    )
    converter.register_structure_hook(DocumentSequenceState, state)
    whole = make_dict_structure_fn(
        Sequence,
        converter,
        _cattrs_detailed_validation=False,
        id=_of(structure_id, "id"),
        serie=_of(structure_serie, "serie"),
        is_default=_of(structure_flag, "default_sequence"),
        documents=override(
            struct_hook=lambda found, _: {
                name: state(one, DocumentSequenceState) for name, one in found.items()
            }
        ),
        extra=override(struct_hook=lambda value, _: value),
    )

    def nest(row: dict[str, Any], _: object) -> Sequence:
        layout = hooks.layout_of(tuple(row))
        get = row.get
        documents = {
            name: {
                "number": get(number_key),
                "sequence_id": get(id_key),
                "validation_code": get(code_key),
            }
            for name, number_key, id_key, code_key in layout.types
        }
        extra = {key: row[key] for key in layout.other_keys}
        fields = {
            "id": extra.pop("id", None),
            "serie": extra.pop("serie", None),
            "is_default": extra.pop("default_sequence", None),
        }
        return whole({**fields, "documents": documents, "extra": extra}, Sequence)

    converter.register_structure_hook(Sequence, nest)
    return converter


async def measure(rounds: int) -> tuple[float, float, float]:
    """Return the CPU seconds of a row by the package, by cattrs, and of a whole create."""
    payload = loads(canned_responses()[0].partition(b"\r\n\r\n")[2])
    ours, theirs = make_converter(), _nesting_converter()
    assert structure_one(payload, theirs) == structure_one(payload, ours)
    figures: list[list[float]] = [[], [], []]
    with canned_server() as port:
        base_url = f"http://127.0.0.1:{port}/{{account}}"
        async with SessionManager(base_url=base_url, rate_limit=None) as manager:
            create = manager.account("acme", _KEY).sequences.create
            for _ in range(rounds):
                for figure, converter in zip(figures, (ours, theirs), strict=False):
                    began = time.process_time()
                    for _ in range(_CALLS):
                        structure_one(payload, converter)
                    figure.append((time.process_time() - began) / _CALLS)
                began = time.process_time()
                for _ in range(_CALLS):
                    await create(_SERIE, default=True)
                figures[2].append((time.process_time() - began) / _CALLS)
    by_us, by_cattrs, whole = map(statistics.median, figures)
    return by_us, by_cattrs, whole


def main(rounds: int) -> None:
    """Print the figures, and the additional cost of a create."""
    by_us, by_cattrs, whole = asyncio.run(measure(rounds))
    more = (by_cattrs - by_us) / whole
    print(f"a row: {by_us * 1e6:.1f} µs by us, {by_cattrs * 1e6:.1f} µs by cattrs")
    print(f"a create: {whole * 1e6:.0f} µs; with cattrs {more:.0%} more")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 41)
