"""Extraction of command lines from documentation, and their check with the real parsers, without running them."""

import argparse
import ast
import contextlib
import io
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from script_toy import load_script

from depthbox import add_depthbox_config
from depthbox.cli.main import CommandError, import_command, parse
from depthbox.config import load_config

ROOT = Path(__file__).resolve().parents[2]
SHELLS = ("bash", "sh", "console")
# Other programs, whose arguments are not checked.
FOREIGN = {"cd", "export", "head", "hf", "label-studio-converter", "ln", "scontrol", "source"}
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:depthbox|make|(?:python )?tools/\w+\.py|(?:python )?scripts/[\w.]+)(?: [^`]*)?)`")
_IS_PREFIX = re.compile(r"\$|[A-Z_]+=.*")
_STARTS = re.compile(
    r"""(\$ )?([A-Z_]+=("[^"]*"|\S+) )*"""
    r"(make|depthbox|pip|torchrun|srun|\.venv/\S+|python[\d.]*|tools/\S+|scripts/\S+\.sh)( |$)"
)
_PYTHON = re.compile(r"(?:\.venv/bin/)?python[\d.]*")


class WrongCommand(AssertionError):
    """A command line that fails as written."""


class _Parsed(Exception):
    """Signal that carries the parsed arguments out of ``main``."""


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and content of the fenced blocks of a page."""
    for indent, language, content in _FENCE.findall(text):
        yield language, re.sub(f"^{indent}", "", content, flags=re.MULTILINE)


def commands(language: str, block: str) -> list[list[str]]:
    """Return the commands of a block as lists of words; none of a block that is not for the shell."""
    if language not in ("", *SHELLS):
        return []
    lines = block.replace("\\\n", " ").splitlines()
    found = []
    for line in lines if language else [line for line in lines if is_command(line)]:
        lexer = shlex.shlex(re.sub(r"\$\(.*\)", "VALUE", line), posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        for joint, group in itertools.groupby(lexer, lambda word: set(word) <= set("|&;")):
            words = list(itertools.dropwhile(_IS_PREFIX.fullmatch, group))
            found += [words] if words and not joint else []
    return found


def is_command(line: str) -> bool:
    """Return whether a line of a block without a language is a command, not output."""
    return bool(_STARTS.match(line))


def check_command(words: list[str]) -> None:
    """Raise WrongCommand unless the program exists and parses the words."""
    program = words[0].removeprefix(".venv/bin/")
    rest = [word for word in words[1:] if word != "..."]  # stands for words given earlier on the page
    if program == "srun":
        check_command(rest)
    elif program == "torchrun":
        check_command(["python", *_after_torchrun(rest)])
    elif program == "make":
        check_make(rest)
    elif program == "pip":
        check_extras(rest)
    elif program == "depthbox":
        check_depthbox(rest)
    elif _PYTHON.fullmatch(program):
        check_depthbox(rest[2:]) if rest[:2] == ["-m", "depthbox.cli.main"] else check_file(rest[0], rest[1:])
    elif program.startswith(("tools/", "scripts/")):
        check_file(program, rest)
    elif program not in FOREIGN:
        raise WrongCommand(f"'{program}' is not a command of DepthBox, nor a known other program")


def _after_torchrun(words: list[str]) -> list[str]:
    from torch.distributed.run import get_args_parser

    parser = get_args_parser()
    known = _quietly(lambda: parser.parse_args([re.sub(r"^\"?\$\w+.*", "1", word) for word in words]), words)
    start = words.index(known.training_script)
    return words[start - 1 :] if known.module else words[start:]


def check_make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", text, re.MULTILINE))
    for word in words:
        name, value = word.partition("=")[::2]
        if name not in (variables if "=" in word else targets):
            raise WrongCommand(f"the Makefile has no {name}")
        if name == "ARGS" and "demo" in words:
            check_file("tools/demo.py", shlex.split(value))


def check_extras(words: list[str]) -> None:
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    keywords = {key.arg: key.value for node in ast.walk(tree) if isinstance(node, ast.Call) for key in node.keywords}
    known = set(ast.literal_eval(keywords["extras_require"]))
    named = {
        extra for word in words for part in re.findall(r"^(?:depthbox|\.)\[(.+)\]$", word) for extra in part.split(",")
    }
    if named - known:
        raise WrongCommand(f"setup.py has no extra {sorted(named - known)}")


def check_depthbox(words: list[str]) -> None:
    words = words[1:] if words[:1] == ["--debug"] else words
    if words in (["--help"], ["--version"]):
        return
    try:
        module = import_command(words[0])
    except CommandError as error:
        raise WrongCommand(str(error)) from error
    check_arguments(_quietly(lambda: parse(module, words[1:]), words))


def check_file(name: str, words: list[str] | None) -> None:
    """Raise WrongCommand unless a script exists and, if it is a Python tool, parses the words."""
    path = ROOT / name
    if not path.is_file():
        raise WrongCommand(f"{name} does not exist")
    if words is not None and path.suffix == ".py" and path.parent.name in ("tools", "scripts"):
        check_arguments(_quietly(lambda: _parse_file(path, words), [name, *words]))


def _parse_file(path: Path, words: list[str]) -> argparse.Namespace:
    module = load_script(path)
    if hasattr(module, "parse_arguments"):
        return module.parse_arguments(words)
    ours = argparse.ArgumentParser.parse_args

    def parse_and_leave(self: argparse.ArgumentParser, *_: object) -> argparse.Namespace:
        raise _Parsed(ours(self, words))

    with pytest.MonkeyPatch.context() as patch, pytest.raises(_Parsed) as left:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_leave)
        module.main()
    return left.value.args[0]


def check_arguments(arguments: argparse.Namespace | None) -> None:
    """Raise WrongCommand unless the named configs exist and KEY VALUE fits them."""
    files = [getattr(arguments, "config_file", None), *(getattr(arguments, "configs", None) or [])]
    ours = [name for name in files if name and str(name).startswith("configs/") and "<" not in str(name)]
    for name in ours or [""]:
        try:
            load_config(add_depthbox_config, str(ROOT / name) if name else "", getattr(arguments, "overrides", []))
        except ValueError as error:
            raise WrongCommand(str(error)) from error


def _quietly(call, words: list[str]):
    """Return the result of a parser; None if it printed its help."""
    try:
        return call()
    except SystemExit as end:
        if end.code:
            raise WrongCommand(f"does not parse: {shlex.join(words)}") from end
        return None
    except ValueError as error:
        raise WrongCommand(str(error)) from error


def check_inline(text: str) -> None:
    """Raise WrongCommand unless a command in running text, perhaps abridged, exists with its options."""
    words = shlex.split(text) if text.count('"') % 2 == 0 else text.split()
    words = words[1:] if words[0] == "python" else words
    if words[0] == "make":
        check_make(words[1:])
        return
    with contextlib.redirect_stdout(io.StringIO()) as shown:  # the help of the command
        if words[0] != "depthbox":
            check_file(words[0], ["--help"] if len(words) > 1 else None)
        elif len(words) > 1 and words[1] not in ("COMMAND", "--help", "--debug", "--version"):
            check_depthbox([words[1], "--help"])
    help_text = shown.getvalue()
    unknown = [word for word in words[1:] if word.startswith("--") and not re.search(rf"{word}\b", help_text)]
    if unknown and help_text:
        raise WrongCommand(f"{words[0]} {words[1]} has no option {unknown}")


def mistakes(page: str) -> list[str]:
    """Return one line for each wrong command of a page."""
    jobs = [(check_command, words) for block in blocks(page) for words in commands(*block)]
    jobs += [(check_inline, found) for found in _INLINE.findall(_FENCE.sub("", page))]
    wrong = []
    for check, command in jobs:
        try:
            with contextlib.redirect_stderr(io.StringIO()) as said:
                check(command)
        except WrongCommand as error:
            shown = command if isinstance(command, str) else shlex.join(command)
            wrong.append(" ".join(f"{shown}: {error} {said.getvalue()[-300:]}".split()))
    return wrong
