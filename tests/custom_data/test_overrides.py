"""Config settings of the command line for one or both stages."""

import pytest

from depthbox.config import ConfigError
from depthbox.custom_data.overrides import check_overrides, find_stage, read_overrides, select_overrides

WORDS = ["SEED", "1", "A.SEED", "2", "B.SOLVER.BASE_LR", "0.5", "OUTPUT_DIR", "there", "SOLVER.BASE_LR", "0.1"]


def test_the_settings_of_a_stage_take_precedence_in_any_order():
    assert read_overrides(select_overrides(WORDS, "A")) == {"SEED": "2", "SOLVER.BASE_LR": "0.1"}
    assert read_overrides(select_overrides(WORDS, "B")) == {"SEED": "1", "SOLVER.BASE_LR": "0.5"}
    assert read_overrides(WORDS)["OUTPUT_DIR"] == "there"


def test_only_a_first_part_of_a_key_names_a_stage():
    assert [find_stage(key) for key in ("A.SEED", "B.SOLVER.BASE_LR", "SEED", "A", "C.SEED", "AB.SEED")] == [
        "A",
        "B",
        "",
        "",
        "",
        "",
    ]


@pytest.mark.parametrize("words", [["A.SOLVER.BASE_LRR", "1"], ["B.SOLVER.BASE_LRR", "1"], ["SOLVER.BASE_LRR", "1"]])
def test_mistakes_are_found_in_each_stage_and_name_their_source(words):
    check_overrides(WORDS)
    with pytest.raises(ConfigError, match=r"my.yaml sets the unknown key SOLVER.BASE_LRR; did you mean SOLVER.BASE_LR"):
        check_overrides(words, "my.yaml")
    with pytest.raises(ConfigError, match="pairs KEY VALUE"):
        check_overrides([*words, "A.SEED"])
