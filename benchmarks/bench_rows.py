"""A wide row, from bytes to a nested, checked value, compared with pydantic and cattrs by hand.

pydantic does the same work: a `before` validator nests the columns, with a split of the names that
is computed once, and the types are strict. "By hand" is a regular expression for each key and a
plain cattrs converter. Measured with the JSON parser of the standard library and with the extra
`speed`, each in its own process. `python benchmarks/bench_rows.py [rounds]`
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SAMPLE = Path(__file__).parents[1] / "tests" / "data" / "create_201.json"
_SIZES = (1, 10, 100, 1_000)
_ROWS_IN_A_ROUND = 1_000
_COLUMN = re.compile(r"current_(.+)_(number|sequence_id|validation_code)")

Read = Callable[[bytes], object]


def _bodies() -> dict[int, bytes]:
    row = json.loads(_SAMPLE.read_text())["sequence"]
    return {
        size: json.dumps({"sequences": [row | {"id": 1 + number} for number in range(size)]})
        .replace(" ", "")
        .encode()
        for size in _SIZES
    }


def _ours() -> Read:
    from invoicexpress_async.protocol.exchange import loads  # noqa: PLC0415  # after `speed` was chosen
    from invoicexpress_async.protocol.sequences import (  # noqa: PLC0415  # as above
        SequenceRequests,
        make_converter,
    )

    request = SequenceRequests(make_converter()).list()
    return lambda body: request.structure(loads(body))


def _with_pydantic() -> Read:
    import pydantic  # noqa: PLC0415  # only by who compares

    class State(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(frozen=True, strict=True)

        number: int | None = None
        sequence_id: int | None = None
        validation_code: str | None = None

    splits: dict[str, tuple[str, str] | None] = {}

    def split(key: str) -> tuple[str, str] | None:
        match = _COLUMN.fullmatch(key)
        return (match[1], match[2]) if match else None

    class Sequence(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(frozen=True, extra="allow")

        id: int
        serie: str = pydantic.Field(coerce_numbers_to_str=True)
        default_sequence: bool
        documents: dict[str, State]

        @pydantic.model_validator(mode="before")
        @classmethod
        def nest(cls, row: dict[str, Any]) -> dict[str, Any]:
            documents: dict[str, dict[str, Any]] = {}
            fields: dict[str, Any] = {"documents": documents}
            for key, value in row.items():
                if key not in splits:
                    splits[key] = split(key)
                parts = splits[key]
                if parts is None:
                    fields[key] = value
                else:
                    documents.setdefault(parts[0], {})[parts[1]] = value
            return fields

    class Answer(pydantic.BaseModel):
        sequences: list[Sequence]

    return Answer.model_validate_json


def _with_cattrs() -> Read:
    import attrs  # noqa: PLC0415  # only by who compares
    import cattrs  # noqa: PLC0415  # as above

    @attrs.frozen
    class State:
        number: int | None = None
        sequence_id: int | None = None
        validation_code: str | None = None

    @attrs.frozen
    class Sequence:
        id: int
        serie: str
        default_sequence: bool
        documents: dict[str, State]

    converter = cattrs.Converter()

    def read(body: bytes) -> object:
        sequences: list[Sequence] = []
        for row in json.loads(body)["sequences"]:
            documents: dict[str, dict[str, Any]] = {}
            fields: dict[str, Any] = {"documents": documents}
            for key, value in row.items():
                if match := _COLUMN.fullmatch(key):
                    documents.setdefault(match[1], {})[match[2]] = value
                else:
                    fields[key] = value
            sequences.append(converter.structure(fields, Sequence))
        return sequences

    return read


def _time(read: Read, body: bytes, times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        read(body)
    return (time.process_time() - started) / times


def measure(rounds: int) -> dict[str, dict[int, float]]:
    """Return the microseconds of a row by reader and size; the readers take turns.

    The figures are minima, since other work of the machine can only add time.
    """
    readers = {"ours": _ours(), "pydantic": _with_pydantic(), "cattrs": _with_cattrs()}
    bodies = _bodies()
    figures: dict[str, dict[int, list[float]]] = {
        name: {size: [] for size in _SIZES} for name in readers
    }
    for turn in range(rounds + 1):
        for size, body in bodies.items():
            for name, read in readers.items():
                seconds = _time(read, body, max(1, _ROWS_IN_A_ROUND // size))
                if turn:  # the first turn warms up
                    figures[name][size].append(seconds / size * 1e6)
    return {
        name: {size: min(all_of) for size, all_of in by_size.items()}
        for name, by_size in figures.items()
    }


def main(rounds: int) -> None:
    """Print a table for each JSON parser."""
    for parser in ("stdlib json", "speed"):
        output = subprocess.run(  # noqa: S603  # this very file
            [sys.executable, __file__, parser, str(rounds)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        figures = json.loads(output)
        print(f"\n{parser}: µs of a row in an answer of so many, and ours / theirs")
        print(f"{'':12}" + "".join(f"{size:>14}" for size in _SIZES))
        for name, by_size in figures.items():
            cells = (
                f"{by_size[str(size)]:7.1f}{figures['ours'][str(size)] / by_size[str(size)]:7.2f}"
                for size in _SIZES
            )
            print(f"{name:12}" + "".join(cells))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stdlib json" | "speed" as parser, rounds]:
            if parser != "speed":
                sys.modules["orjson"] = None  # type: ignore[assignment]  # as if it were not installed
            print(json.dumps(measure(int(rounds))))
        case arguments:
            main(int(arguments[0]) if arguments else 9)
