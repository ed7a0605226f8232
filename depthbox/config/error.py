"""The error of configs."""

from __future__ import annotations

from ..errors import UserError


class ConfigError(UserError):
    """Error of a config file, an override or an option; the message contains the remedy."""
