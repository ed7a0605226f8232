"""Damaged files: bytes, JSON, YAML and lines of text. See ``damaged_data_toy`` for images, arrays and checkpoints."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Damage:
    """Content of a damaged file.

    Attributes:
        body: the bytes.
        name: what was done, in words.
        unusable: whether no program may accept the file.
    """

    body: bytes
    name: str
    unusable: bool = False


# Values that a number, a text or a list of a file is replaced with.
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 3.7, 2**31, 2**63, 10**400, 1e308, 5e-324, float("nan"), float("inf"), -float("inf")),
    *("", " ", "abc", "12", "a\0b", "line\nline", "\x1b[31mred\x1b[0m", "<script>alert(1)</script>", "%s %n", "\ud800"),
    *("../../escaped.png", "/etc/hostname", "http://127.0.0.1:9/x.yaml", "x" * 20000, "cuda:99", "package:os"),
    *([], [[]], [None], [1, 2, 3], [0, 0, 0, 0], [1e9] * 4, [9, 9, -5, -5], ["1", "2", "3", "4"], [[1, 2, 3]], {}),
    *([[float("nan")] * 8], {"a": 1}, {"size": [64, 96], "counts": "zzz"}, {"size": [64, 96], "counts": [10**9]}),
    *({"size": [10**5, 10**5], "counts": [0, 10**10]}, {"size": 5, "counts": 5}, {"counts": "1"}),
]


def damage_bytes(data: bytes, rng: random.Random) -> Damage:
    """Cut a file off, or change some of its bits or a block of its bytes."""
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    flipped = bytearray(data)
    for _ in range(rng.choice((1, 3, 30))):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return rng.choice(
        [
            Damage(data[:first], "cut off"),
            Damage(bytes(flipped), "bits flipped"),
            Damage(data[:first] + data[last:], "block missing"),
            Damage(data[:first] + bytes(last - first) + data[last:], "block of zeros"),
            Damage(data[:last] + data[first:], "block twice"),
            Damage(data[:first] + rng.randbytes(40) + data[first:], "block inserted"),
        ]
    )


def damage_tree(tree: Any, rng: random.Random) -> str:
    """Change one place of nested lists and dicts; return what was done."""
    node, where = tree, ""
    while True:
        key = rng.choice(sorted(node, key=str) if isinstance(node, dict) else range(len(node)))
        where += f"/{key}"
        if not (isinstance(node[key], dict | list) and node[key]) or rng.random() < 0.15:
            break
        node = node[key]
    action = rng.choice(("value", "value", "value", "missing", "twice"))
    if action == "missing":
        del node[key]
    elif action == "twice" and isinstance(node, list):
        node.append(copy.deepcopy(node[key]))
    else:
        node[key] = rng.choice(VALUES)
        where += f" = {node[key]!r:.40}"
    return f"{action} {where}"


def damage_json(data: bytes, rng: random.Random) -> Damage:
    """Damage a COCO JSON file."""
    if rng.random() < 0.7:
        tree = json.loads(data)
        done = [damage_tree(tree, rng) for _ in range(rng.choice((1, 1, 2, 4)))]
        return Damage(json.dumps(tree).encode("utf-8", "surrogatepass"), "; ".join(done))
    return rng.choice(
        [
            Damage(b"", "empty", True),
            Damage(b"\0" * 300, "zeros", True),
            Damage(b"<html>404</html>", "HTML", True),
            Damage(b'"text"', "a text", True),
            Damage(b"null", "null", True),
            Damage(b"[1, 2]", "a list", True),
            Damage(b"[" * 100000, "open lists", True),
            Damage(b'{"images":' + b"[" * 50000 + b"]" * 50000 + b"}", "deep lists", True),
            Damage(data + data, "twice", True),
            Damage(data[: len(data) // 2], "half", True),
            Damage(data.decode().encode("utf-16"), "UTF-16"),
            Damage(b"\xef\xbb\xbf" + data, "byte order mark"),
            Damage(data.replace(b": 64", b": " + b"9" * 5000, 1), "long number"),
            Damage(data.replace(b"train", b"tr\xe4in"), "latin1"),
            damage_bytes(data, rng),
        ]
    )


def damage_yaml(data: bytes, rng: random.Random, payload: str) -> Damage:
    """Damage a config; ``payload`` is a file that no program may create."""
    if rng.random() < 0.5:
        tree = yaml.safe_load(data)
        done = [damage_tree(tree, rng) for _ in range(rng.choice((1, 1, 2)))]
        return Damage(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"), "; ".join(done))
    lines = "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    texts = {
        "call": f"OUTPUT_DIR: !!python/object/apply:os.system ['touch {payload}']\n",
        "object": f"X: !!python/object/new:os.system ['touch {payload}']\n",
        "name": "OUTPUT_DIR: !!python/name:os.system\n",
        "billion laughs": f"a: &a [x, x, x, x, x, x, x, x, x]\n{lines}",
        "own base": "_BASE_: config.yaml\n",
        "no base": "_BASE_: nowhere.yaml\n",
        "base of the network": "_BASE_: http://127.0.0.1:9/base.yaml\n",
        "number as base": "_BASE_: 5\n",
        "folder as base": "_BASE_: .\n",
        "list": "[1, 2]\n",
        "number": "5\n",
        "tabulator": "MODEL:\n\tMASK_ON: 1\n",
        "open list": "MODEL: [1, 2\n",
        "control characters": "\0\1\2",
        "number as key": "1: 2\n",
        "list as key": "[1, 2]: 3\n",
        "unknown key": "MODEL:\n  NONSENSE: 1\n",
        "recursion": "MODEL: &m\n  X: *m\n",
        "deep": "[" * 5000,
        "text as version": "VERSION: x\n",
        "number as section": "MODEL: 5\n",
        "list as section": "SOLVER: []\n",
        "text as rate": "SOLVER: {BASE_LR: abc}\n",
    }
    name = rng.choice(sorted(texts))
    return Damage(texts[name].encode(), name, True)


def damage_lines(data: bytes, rng: random.Random) -> Damage:
    """Change one word of a text file, or its bytes."""
    if rng.random() < 0.4:
        return damage_bytes(data, rng)
    lines = data.decode().splitlines() or [""]
    words = lines[number := rng.randrange(len(lines))].split(" ")
    words[place := rng.randrange(len(words))] = word = rng.choice(
        ("nan", "inf", "-1", "1e999", "9" * 400, "", "abc", "null", "[]", "{}", "<script>", "\x1b[31m", '"', "&x;")
    )
    lines[number] = " ".join(words)
    return Damage("\n".join(lines).encode(), f"word {place} of line {number + 1} = {word!r:.20}")


Damager = Callable[[bytes, random.Random], Damage]
