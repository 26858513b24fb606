"""Pickles made by version 0.1.0 are read: values are kept in caches and queues."""

import pickle
from pathlib import Path

import pytest

import invoicexpress_async

PICKLES: dict[str, bytes] = pickle.loads(
    (Path(__file__).parents[1] / "data" / "pickles_0_1_0.pickle").read_bytes()
)


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_of_0_1_0_is_read_as_the_class_of_today(name: str) -> None:
    value = pickle.loads(PICKLES[name])

    assert type(value) is getattr(invoicexpress_async, type(value).__name__)


def test_a_sequence_of_0_1_0_is_whole() -> None:
    sequence = pickle.loads(PICKLES["sequence"])

    assert (sequence.id, sequence.serie, sequence.is_default) == (7, "2027", True)
    assert sequence.documents["invoice"].atcud(2) == "ABCD1234-2"
    assert sequence.extra == {"a": 1}
