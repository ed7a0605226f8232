"""Locks of single outputs in a folder."""

import functools
import os

from death import expect_refusal

from depthbox.io.folder_lock import lock_folder


def lock_once(folder, output=""):
    with lock_folder(folder, "job", output):
        pass


def test_only_the_same_output_of_a_folder_is_refused(tmp_path):
    lock = functools.partial(lock_folder, tmp_path, "job", "masks.json")
    assert f"{tmp_path}/masks.json is in use by another job: process" in expect_refusal(
        lock, functools.partial(lock_once, tmp_path, "masks.json")
    )
    assert expect_refusal(lock, functools.partial(lock_once, tmp_path, "other.json")) == ""
    assert expect_refusal(lock, functools.partial(lock_once, tmp_path)) == ""
    assert os.listdir(tmp_path) == []


def test_the_lock_of_an_output_is_hidden_and_names_of_any_length_have_one(tmp_path):
    with lock_folder(tmp_path, "job", "masks.json"), lock_folder(tmp_path, "job", "n" * 255):
        assert sorted(os.listdir(tmp_path)) == [".masks.json.lock", f".{'n' * 200}.lock"]
    assert os.listdir(tmp_path) == []
