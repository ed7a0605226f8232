"""Measures of run-length encodings."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depthbox.io.annotations.canonical.rle import measure_runs


def encode(mask: NDArray[np.uint8]) -> str:
    return str(mask_util.encode(np.asfortranarray(mask))["counts"].decode())


def random_masks(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [(rng.random(rng.integers(1, 30, 2)) < rng.random()).astype(np.uint8) for _ in range(count)]


def test_areas_are_those_of_the_masks() -> None:
    masks = [*random_masks(300), np.zeros((5, 7), np.uint8), np.ones((5, 7), np.uint8)]
    large = np.zeros((3000, 2000), np.uint8)
    large[10:2900, 20:1900] = 1
    masks.append(large)
    measures = measure_runs([encode(mask) for mask in masks], [mask.size for mask in masks])
    areas = [int(mask.sum()) for mask in masks]
    assert measures.areas.tolist() == areas
    assert measures.sound.tolist() == [area > 0 for area in areas]


def test_a_bad_text_does_not_spoil_its_neighbors() -> None:
    good = encode(np.eye(4, dtype=np.uint8))
    texts = [good, "", good[:-1], good + "P", "!", "é", "P" * 90 + "0", good + "0", good]
    measures = measure_runs(texts, [16] * len(texts))
    # a further run of no pixels changes nothing
    expected = [True, False, False, False, False, False, False, measures.sound[7], True]
    assert measures.sound.tolist() == expected
    assert measures.areas[[0, 8]].tolist() == [4, 4]


def test_runs_have_to_fill_the_image() -> None:
    text = encode(np.eye(4, dtype=np.uint8))
    assert measure_runs([text] * 3, [16, 15, 17]).sound.tolist() == [True, False, False]


def test_nothing_has_no_measures() -> None:
    assert measure_runs([], []).sound.shape == (0,)


def plain_area(text: str, pixels: int) -> int:
    """Return the area of a sound RLE, else 0, number by number."""
    runs: list[int] = []
    place = 0
    while place < len(text):
        number = groups = 0
        more = True
        while more:
            code = ord(text[place]) - 48 if place < len(text) else -1
            if not 0 <= code < 64 or groups >= 6:
                return 0
            number |= (code & 31) << (5 * groups)
            more, place, groups = bool(code & 32), place + 1, groups + 1
        if code & 16:
            number -= 1 << (5 * groups)
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
    return sum(runs[1::2]) if runs and min(runs) >= 0 and sum(runs) == pixels else 0


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 12), st.characters(min_codepoint=45, max_codepoint=113))))
def test_changed_texts_are_measured_as_number_by_number(changes: list[tuple[int, int, str]]) -> None:
    masks = random_masks(20)
    texts = [encode(mask) for mask in masks]
    for text, place, letter in changes:
        texts[text] = texts[text][:place] + letter + texts[text][place + 1 :]
    measures = measure_runs(texts, [mask.size for mask in masks])
    assert measures.areas.tolist() == [plain_area(text, mask.size) for text, mask in zip(texts, masks, strict=True)]


@given(st.lists(st.tuples(st.text(max_size=9), st.integers(1, 1_000_000)), max_size=5))
def test_any_text_is_measured(pairs: list[tuple[str, int]]) -> None:
    measures = measure_runs([text for text, _ in pairs], [pixels for _, pixels in pairs])
    assert measures.sound.shape == (len(pairs),)
    assert (measures.areas <= [pixels for _, pixels in pairs]).all()
    assert ((measures.areas > 0) == measures.sound).all()


@pytest.mark.parametrize("text", ["o" * 5 + "1", "0" + "o" * 6 + "O", "PPPPPP0"])
def test_numbers_larger_than_any_image_are_not_sound(text: str) -> None:
    assert not measure_runs([text], [10]).sound.any()
