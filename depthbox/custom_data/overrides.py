"""Config settings of the command line for one or both stages of a run: KEY VALUE, A.KEY VALUE, B.KEY VALUE."""

from __future__ import annotations

from collections.abc import Sequence

from ..checkpoint.run_files import LABELER, SEGMENTOR
from ..config.defaults import add_depthbox_config
from ..config.loading import COMMAND_LINE, load_config

STAGE_NAMES = (LABELER, SEGMENTOR)


def find_stage(key: str) -> str:
    """Return the stage that a key names; "" if it applies to both."""
    stage, _, rest = key.partition(".")
    return stage if rest and stage in STAGE_NAMES else ""


def select_overrides(words: Sequence[str], stage: str) -> list[str]:
    """Return the KEY VALUE words that apply to a stage, without its name, except OUTPUT_DIR.

    Args:
        words: KEY VALUE KEY VALUE...
        stage: one of STAGE_NAMES. Words for this stage come after the common ones, and so take precedence.
    """
    pairs = list(zip(words[::2], words[1::2], strict=True))
    common = [pair for pair in pairs if not find_stage(pair[0]) and pair[0] != "OUTPUT_DIR"]
    own = [(key.partition(".")[2], value) for key, value in pairs if find_stage(key) == stage]
    return [word for pair in [*common, *own] for word in pair]


def read_overrides(words: Sequence[str]) -> dict[str, str]:
    """Return the values of KEY VALUE words by key."""
    return dict(zip(words[::2], words[1::2], strict=True))


def check_overrides(words: Sequence[str], source: str = COMMAND_LINE) -> None:
    """Check the keys and values of words before the data are read.

    Args:
        words: KEY VALUE KEY VALUE...
        source: where they stand, for messages.

    Raises:
        ConfigError: an unknown key, or a value that it does not accept.
    """
    if any(find_stage(key) for key in words[::2]) and len(words) % 2 == 0:
        for stage in STAGE_NAMES:
            load_config(add_depthbox_config, overrides=select_overrides(words, stage), source=source)
    else:
        load_config(add_depthbox_config, overrides=words, source=source)
