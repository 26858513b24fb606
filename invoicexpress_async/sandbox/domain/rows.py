"""A series in the server: one row, with an id, a counter and a code per document type."""

import random
import string
from collections.abc import Mapping
from types import MappingProxyType

import attrs

NOT_REGISTERED = "N/D"
NOT_RELEVANT = "N/A"

# The order and the codes of the official create response.
DOCUMENT_TYPES = (
    "invoice",
    "invoice_receipt",
    "simplified_invoice",
    "credit_note",
    "debit_note",
    "receipt",
    "shipping",
    "transport",
    "devolution",
    "proforma",
    "quote",
    "fees_note",
    "vat_moss_invoice",
    "vat_moss_credit_note",
    "vat_moss_receipt",
)
# A type that is not in the official response (purchase_order, or one invented by a test) counts as
# not relevant: its real code was never seen.
_ATCUD_RELEVANT = frozenset(DOCUMENT_TYPES[:11])

_LETTER_PAIRS = [a + b for a in string.ascii_uppercase for b in string.ascii_uppercase]
_CODE_SPACE = 26**4 * 10**4
# Coprime with the code space, so that steps of this size reach every code before one repeats.
_CODE_STEP = 2_654_435_761


@attrs.frozen(kw_only=True)
class SandboxSequence:
    """The true state of a row in the server, whatever the responses show.

    Duplicates are two rows with the same `serie`. The codes are here even if the account's
    responses omit them.
    """

    id: int
    serie: str | int
    is_default: bool
    is_registering: bool
    sequence_ids: Mapping[str, int]
    validation_codes: Mapping[str, str]
    numbers: Mapping[str, int]

    @property
    def is_registered(self) -> bool:
        """Whether no document type waits for its code."""
        return NOT_REGISTERED not in self.validation_codes.values()


@attrs.define(kw_only=True, eq=False)
class SequenceRow:
    id: int
    serie: str | int
    sequence_ids: dict[str, int]
    codes: dict[str, str]
    numbers: dict[str, int]
    is_default: bool = False
    registering_until: float | None = None
    is_new: bool = False
    listed_from: float = 0.0

    @property
    def is_registered(self) -> bool:
        return NOT_REGISTERED not in self.codes.values()

    def snapshot(self) -> SandboxSequence:
        return SandboxSequence(
            id=self.id,
            serie=self.serie,
            is_default=self.is_default,
            is_registering=self.registering_until is not None,
            sequence_ids=MappingProxyType(dict(self.sequence_ids)),
            validation_codes=MappingProxyType(dict(self.codes)),
            numbers=MappingProxyType(dict(self.numbers)),
        )


@attrs.define(eq=False)
class IdGenerator:
    """Generates ids and validation codes: unique in the server, equal for equal seeds."""

    seed: int
    next_id: int = attrs.field(init=False)
    next_code: int = attrs.field(init=False)
    _random: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - reproducible, and no secret
        self.next_id = self._random.randrange(100_000, 900_000)
        self.next_code = self._random.randrange(_CODE_SPACE)

    def row(self, serie: str | int, types: tuple[str, ...], *, is_relevant: bool) -> SequenceRow:
        ids = self._ids(types)
        # A row without the type invoice needs an id too.
        row_id = ids["invoice"] if "invoice" in ids else self._ids(("invoice",))["invoice"]
        codes = {
            name: NOT_REGISTERED if is_relevant and name in _ATCUD_RELEVANT else NOT_RELEVANT
            for name in types
        }
        numbers = dict.fromkeys(types, 0)
        return SequenceRow(id=row_id, serie=serie, sequence_ids=ids, codes=codes, numbers=numbers)

    def register(self, row: SequenceRow, *, refused: tuple[str, ...]) -> None:
        for name, code in row.codes.items():
            if code == NOT_REGISTERED and name not in refused:
                row.codes[name] = self._code()

    def _ids(self, types: tuple[str, ...]) -> dict[str, int]:
        # Near the row's id, and never at the same distance twice: an id that a client computes
        # from another one must be wrong here too.
        first = self.next_id
        span = len(types) + 6
        others = [name for name in types if name != "invoice"]
        ids = dict(zip(others, self._random.sample(range(1, span), len(others)), strict=True))
        self.next_id += span + self._random.randrange(4)
        return {name: first + ids.get(name, 0) for name in types}

    def _code(self) -> str:
        self.next_code = (self.next_code + _CODE_STEP) % _CODE_SPACE
        letters, digits = divmod(self.next_code, 10**4)
        first, second = divmod(letters, len(_LETTER_PAIRS))
        return f"{_LETTER_PAIRS[first]}{_LETTER_PAIRS[second]}{digits:04}"
