"""Weight files: load report, damaged files, URLs, and refusal of code."""

import logging
import os
import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn
from weights_toy import detector, pickled, saved

from depthbox.checkpoint import weights
from depthbox.checkpoint.formats.safe_pickle import UnsafePickleError
from depthbox.checkpoint.weights import load_weights


def test_weights_of_another_network_are_reported(tmp_path, caplog):
    state = detector().state_dict()
    heads = {name: tensor for name, tensor in state.items() if not name.startswith("backbone.bottom_up.")}
    load_weights(detector(), saved(tmp_path, heads))
    assert re.search(r"These weights are not of this network: only \d+ of \d+ tensors of its backbone", caplog.text)
    other = saved(tmp_path, {"layers.0.blocks.0.weight": torch.zeros(3)})
    with pytest.raises(
        ValueError, match=r"none of the 1 tensors of .*weights\.pth fits .*layers\.0.*MODEL\.TIMM\.WEIGHTS"
    ):
        load_weights(detector(), other)


def test_report_fits_a_terminal(tmp_path, caplog):
    state = {name: tensor for name, tensor in detector().state_dict().items() if "tower" not in name}
    state |= {f"unknown.part{n}.weight": torch.zeros(2) for n in range(20)}
    model = detector("MODEL.FCOS.NUM_CLASSES", 3)
    with caplog.at_level(logging.INFO):
        report = load_weights(model, saved(tmp_path, state))
    text = str(report).replace(str(tmp_path), "")
    assert max(map(len, text.splitlines())) <= 90 and len(text.splitlines()) < 25
    count = len(model.state_dict())
    assert text.startswith(f"{len(report.loaded)} of {count} tensors loaded\n")
    assert len(report.loaded) + len(report.missing) + len(report.wrong_shape) + len(report.implied) == count
    assert "  in the file, unknown here: 20\n    unknown.* (20)" in text
    assert re.search(r"not in the file, at initial values: \d+\n +\S+_tower\.\* \(\d+\)", text)
    assert str(report) in caplog.text


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("form", ["pickle.pkl", "pickle.pth", "torch.pth", "torch.pkl", "torch_legacy.pth"])
def test_file_that_runs_code_is_refused(tmp_path, form):
    mark, path = tmp_path / "it_ran", tmp_path / form
    content = {"model": {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, "x": Touch(mark)}
    if form.startswith("torch"):
        torch.save(content, path, _use_new_zipfile_serialization="legacy" not in form)
        torch.load(path, weights_only=False)
    else:
        path.write_bytes(pickle.dumps({"model": {"w": np.zeros(2)}, "x": Touch(mark)}))
        pickle.loads(path.read_bytes())
    assert mark.exists(), "the payload works"
    mark.unlink()
    model = nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(UnsafePickleError, match=rf"{form} is refused: it asks for \w+\.system.*another source"):
        load_weights(model, str(path))
    assert not mark.exists() and torch.equal(model.weight, before)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pth", b"", r"a\.pth cannot be read as a pickle of arrays"),
        ("a.pth", b"PK\x03\x04 half a file", r"a\.pth is not a sound checkpoint of torch"),
        ("a.pkl", b"\x80\x02}", r"a\.pkl cannot be read as a pickle of arrays"),
        ("a.pkl", pickle.dumps([1, 2]), r"a\.pkl holds a list, not a dict of weights"),
        ("a.pkl", pickle.dumps({"epoch": 3}), r"a\.pkl holds no weights: 'epoch' in it is of type int, not a tensor"),
        ("a.pkl", pickle.dumps({}), r"a\.pkl holds no weights: it is an empty dict"),
    ],
)
def test_files_without_weights(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_weights(nn.Linear(3, 2), str(tmp_path / name))


def test_url_is_downloaded_first(tmp_path, monkeypatch):
    source, model = nn.Linear(3, 2), nn.Linear(3, 2)
    path = saved(tmp_path, source.state_dict())
    places = {"https://example.org/w.pth": path, "https://example.org/gone.pth": str(tmp_path / "gone")}
    monkeypatch.setattr(weights.PathManager, "get_local_path", lambda address: places[address])
    assert load_weights(model, "https://example.org/w.pth").complete
    assert torch.equal(model.weight, source.weight)
    with pytest.raises(FileNotFoundError, match=r"the file .* does not exist"):
        load_weights(model, "https://example.org/gone.pth")
    with pytest.raises(OSError, match=r"unknown\.pth cannot be fetched .*give its path"):
        load_weights(model, "https://example.org/unknown.pth")


def test_ambiguous_name_is_reported(tmp_path):
    model = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)})
    path = pickled(tmp_path, {"model": {"weight": np.zeros((2, 3), np.float32)}, "matching_heuristics": True})
    with pytest.raises(ValueError, match=r"weights\.pkl does not fit the network: Cannot match one checkpoint key"):
        load_weights(model, path)


def test_versions_of_modules_are_kept(tmp_path):
    """torch completes tensors that old versions of a module did not save, and needs the version numbers for that."""
    model = nn.Sequential(nn.BatchNorm1d(3))
    state = model.state_dict()
    del state["0.num_batches_tracked"]
    for versions, missing in ((state._metadata, ["0.num_batches_tracked"]), ({}, [])):
        state._metadata = versions
        assert load_weights(model, saved(tmp_path, state)).missing == missing
