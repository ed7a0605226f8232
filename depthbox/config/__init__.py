"""Config keys of DepthBox, and loading of config files."""

from .defaults import add_depthbox_config
from .error import ConfigError
from .loading import load_config

__all__ = ["ConfigError", "add_depthbox_config", "load_config"]
