"""Records of annotation files."""

import pickle

import pytest

from depthbox.io.annotations.records import NumberedValues


def test_numbered_values_are_a_mapping_from_1() -> None:
    values = NumberedValues(["a", "b"])
    assert dict(values) == {1: "a", 2: "b"}
    assert values == {1: "a", 2: "b"}
    assert len(values) == 2
    assert values.get(0) is None
    assert pickle.loads(pickle.dumps(values)) == values
    for number in (0, 3, -1, "1"):
        with pytest.raises(KeyError):
            values[number]  # type: ignore[index]
