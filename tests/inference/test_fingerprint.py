"""Fingerprints of jobs: they depend on every input, and not on names or the order of keys."""

import os
from pathlib import Path

from depthbox.inference.fingerprint import digest_states, fingerprint


def test_the_fingerprint_depends_on_every_input(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")
    settings = {"sizes": [600, 900], "mirror": True, "config": {"a": 1, "b": {"c": 2}}}
    plain = fingerprint([first], settings)
    assert plain == fingerprint([second], dict(reversed(settings.items())))  # not on names, nor on the order of keys
    changed = [
        {**settings, "sizes": [900, 600]},
        {**settings, "sizes": [600, 900, 900]},
        {**settings, "mirror": 1.5},
        {**settings, "config": {"a": 1, "b": {"c": 3}}},
        {**settings, "config": {"a": 1, "b": {}, "c": 2}},
        {key: value for key, value in settings.items() if key != "mirror"},
    ]
    others = [fingerprint([first], each) for each in changed] + [fingerprint([], settings)]
    second.write_bytes(b"weightS")
    others.append(fingerprint([second], settings))
    assert len({plain, *others}) == len(others) + 1


def test_states_depend_on_names_sizes_and_times_of_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    os.utime(path, ns=(1, 1))
    plain = digest_states([("a", path)])
    os.utime(path, ns=(1, 2))
    assert digest_states([("a", path)], times=False) == digest_states([("a", path)], times=False)
    others = [digest_states([("a", path)]), digest_states([("b", path)]), digest_states([])]
    path.write_bytes(b"xy")
    others.append(digest_states([("a", path)], times=False))
    path.unlink()
    others.append(digest_states([("\ud800", path)]))
    assert len({plain, *others}) == 6
