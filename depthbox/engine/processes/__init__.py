"""Processes of a group: their start, their supervision, and one message if one of them fails."""

from .rank import end_rank, join_and_run
from .reports import GroupMember, RankError
from .supervision import run_ranks

__all__ = ["GroupMember", "RankError", "end_rank", "join_and_run", "run_ranks"]
