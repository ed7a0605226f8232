"""Loading of a frozen config from a YAML file and KEY VALUE pairs, with explanatory errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode, get_cfg

from .consistency import check_consistency
from .error import ConfigError
from .files import BASE, LATEST_VERSION, VERSION, ConfigSetting, check_version, read_config_file, shorten
from .suggestions import format_unknown, list_read_keys
from .values import convert

__all__ = ["ConfigError", "load_config"]

COMMAND_LINE = "the command line"


def load_config(
    add_keys: Callable[[CfgNode], None],
    config_file: str = "",
    overrides: Sequence[str] = (),
    *,
    source: str = COMMAND_LINE,
) -> CfgNode:
    """Build the config of a run from the defaults of Detectron2 and the project, a YAML file and overrides.

    Args:
        add_keys: function that adds the keys of the project in place (``depthbox.add_depthbox_config``).
        config_file: a YAML file, which may name another one as _BASE_; "" = none.
        overrides: KEY VALUE KEY VALUE..., with priority over the file.
        source: of the overrides, for messages.

    Returns:
        A frozen config. Its values have the types of the keys, lie in their ranges and fit each other.

    Raises:
        ConfigError: a missing or broken file, an unknown key, a value of the wrong type or out of range, or keys that
            do not fit each other. The message names file and key.
    """
    cfg = get_cfg()
    add_keys(cfg)
    settings = read_config_file(config_file) if config_file else {}
    settings |= _read_overrides(overrides, source)
    _merge(cfg, settings)
    check_consistency(cfg, {key: setting.source for key, setting in settings.items()})
    cfg.freeze()
    return cfg


def _read_overrides(overrides: Sequence[str], source: str) -> dict[str, ConfigSetting]:
    if len(overrides) % 2:
        words = shorten(" ".join(map(str, overrides)), 200)[1:-1]
        raise ConfigError(f"overrides are pairs KEY VALUE, but there are {len(overrides)} words: {words}")
    pairs = zip(overrides[::2], overrides[1::2], strict=True)
    settings = {key: ConfigSetting(value, source) for key, value in pairs}
    version = settings.pop(VERSION, ConfigSetting(str(LATEST_VERSION), source))
    if version.value != str(LATEST_VERSION):
        check_version({VERSION: version}, source)
    return settings


def _merge(cfg: CfgNode, settings: Mapping[str, ConfigSetting]) -> None:
    """Set each key of a config; keys below a node that allows new ones are set as they are."""
    for key, setting in settings.items():
        *sections, last = key.split(".")
        node = cfg
        for depth, section in enumerate(sections):
            if node.is_new_allowed() and section not in node:
                node[section] = CfgNode(new_allowed=True)
            child = node.get(section)
            if not isinstance(child, CfgNode):
                raise ConfigError(_explain_missing(cfg, settings, key, sections[: depth + 1], child))
            node = child
        if last not in node and not node.is_new_allowed():
            raise ConfigError(_explain_missing(cfg, settings, key, [*sections, last], None))
        if isinstance(node.get(last), CfgNode):
            _check_section(key, setting)
        else:
            node[last] = convert(key, setting, node.get(last))


def _check_section(key: str, setting: ConfigSetting) -> None:
    if setting.value != {}:
        raise ConfigError(
            f"{setting.source}: {key} is {shorten(setting.value)}, but it is a section: write keys and values below it"
        )


def _explain_missing(
    cfg: CfgNode, settings: Mapping[str, ConfigSetting], key: str, path: Sequence[str], child: object
) -> str:
    """Return the message of a key that does not exist, or of keys below a key that holds a value."""
    setting = settings[key]
    if child is not None:
        place = ".".join(path)
        return f"{setting.source}: {place} is a key with one value, such as {shorten(child)}, but it has keys below it"
    if key == BASE:
        return f"{setting.source}: {BASE} can only be set in a config file"

    def word(name: str) -> str:
        value = settings[name].value if name in settings else ""
        return value if isinstance(value, str) else ""

    read = list_read_keys(iterate_keys(cfg), word("MODEL.META_ARCHITECTURE"), word("MODEL.BACKBONE.NAME"))
    return format_unknown(key, read, setting.source)


def iterate_keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Return the dotted names of all keys of a config, without its sections."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from iterate_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
