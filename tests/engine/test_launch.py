"""When the variables of the environment are those of torchrun."""

import pytest

from depthbox.config import ConfigError
from depthbox.engine.launch import OuterGroup, find_outer_group

SCHEDULER = {"RANK": "2", "WORLD_SIZE": "4"}
ENV = {**SCHEDULER, "LOCAL_RANK": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
TORCHRUN = {**ENV, "LOCAL_WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "none"}


@pytest.mark.parametrize(
    ("environment", "processes", "expected"),
    [
        ({}, 8, None),
        ({"RANK": "3"}, 8, None),
        ({"RANK": "0", "WORLD_SIZE": "1"}, 1, None),
        (ENV, 1, OuterGroup(2, 4, 2, None)),
        (TORCHRUN, 1, OuterGroup(2, 4, 2, 4)),
        (TORCHRUN, 4, OuterGroup(2, 4, 2, 4)),
    ],
)
def test_a_group_of_torchrun_is_recognized(environment, processes, expected):
    assert find_outer_group(processes, environment) == expected


@pytest.mark.parametrize(
    ("environment", "processes", "message"),
    [
        (SCHEDULER, 8, "RANK=2 WORLD_SIZE=4, which do not come from torchrun, and --num-gpus is 8.*env -u RANK"),
        (SCHEDULER, 1, "RANK=2 WORLD_SIZE=4, which do not come from torchrun"),
        ({"RANK": "0", "WORLD_SIZE": "1"}, 8, "which do not come from torchrun"),
        (ENV, 8, "LOCAL_RANK=2, which do not come from torchrun"),
        (TORCHRUN, 8, "torchrun started 4 processes here .*leave out --num-gpus"),
        ({**TORCHRUN, "RANK": "4"}, 1, "RANK=4 WORLD_SIZE=4 .*a rank must be below"),
        ({**TORCHRUN, "LOCAL_RANK": "4"}, 1, "a rank must be below"),
        ({**TORCHRUN, "RANK": "first"}, 1, "the variable RANK of the environment is 'first'"),
        ({**TORCHRUN, "WORLD_SIZE": "-1"}, 1, "the variable WORLD_SIZE of the environment is '-1'"),
        ({**TORCHRUN, "LOCAL_RANK": ""}, 1, "the variable LOCAL_RANK of the environment is ''"),
    ],
)
def test_other_variables_are_refused_in_words(environment, processes, message):
    with pytest.raises(ConfigError, match=message) as refused:
        find_outer_group(processes, environment)
    assert "\n" not in str(refused.value)
