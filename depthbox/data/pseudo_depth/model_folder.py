"""Folders of depth models of unknown origin, checked before the transformers library loads them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...io.untrusted.json_files import JsonFileError, read_json

_MAX_JSON_BYTES = 16 * 2**20
_MAX_NUMBER = 1_000_000  # of a setting: sides, widths and counts of layers
_MAX_LAYERS = 1000
# Settings that make the library run code from the folder or fetch weights or code from the network.
_REFUSED = ("auto_map", "custom_pipelines", "attn_implementation", "_attn_implementation", "quantization_config")
_ADAPTER = "adapter_config.json"


class PseudoDepthError(ValueError):
    """Pseudo depth cannot be generated with these settings. The message names the remedy."""


def check_model_folder(folder: Path) -> None:
    """Check that a folder made by ``save_pretrained`` holds settings and weights alone.

    Raises:
        PseudoDepthError: the settings are damaged, name code or files of the network, or are implausibly large.
    """
    if (folder / _ADAPTER).exists():
        raise _refusal(folder / _ADAPTER, "an adapter names another model on the network: merge it with its model")
    for path in sorted(folder.glob("*.json")):
        try:
            content = read_json(path, limit=_MAX_JSON_BYTES)
        except JsonFileError as error:
            raise PseudoDepthError(str(error)) from error
        if path.name.endswith("config.json"):
            _check_settings(path, content)


@contextlib.contextmanager
def offline(active: bool) -> Iterator[None]:
    """Let the Hugging Face libraries use no network in a block, if ``active``."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or active
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def hash_model_folder(folder: Path) -> str:
    """Return the checksum of the weights and settings in a model's folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".json")):
        digest.update(path.name.encode())
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _check_settings(path: Path, content: Any) -> None:
    if not isinstance(content, dict):
        raise _refusal(path, "it holds no settings")
    waiting: list[Any] = [content]
    while waiting:  # at most MAX_NESTING levels deep
        value = waiting.pop()
        if isinstance(value, dict):
            _check_keys(path, value)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, int) and abs(value) > _MAX_NUMBER:
            raise _refusal(path, f"a setting is larger than {_MAX_NUMBER}")


def _check_keys(path: Path, settings: dict[str, Any]) -> None:
    for key in _REFUSED:
        if settings.get(key):
            raise _refusal(path, f"'{key}' makes the library run other code, which is refused")
    if settings.get("use_pretrained_backbone"):
        raise _refusal(path, "'use_pretrained_backbone' fetches weights from the network: set it to false")
    for key, value in settings.items():
        if "layers" in key and isinstance(value, int) and value > _MAX_LAYERS:
            raise _refusal(path, f"'{key}' is {value}, more than in any depth model")


def _refusal(path: Path, cause: str) -> PseudoDepthError:
    return PseudoDepthError(f"{path} cannot be used: {cause}. Use a folder made by save_pretrained")
