"""Recognition of exported files: the same call is done already, any other is not."""

import dataclasses
from pathlib import Path

import pytest
import torch
from export_toy import config

from depthbox.export.finished import export_fingerprint, is_exported
from depthbox.export.job import JOB, ExportSettings
from depthbox.export.write import program_bytes
from depthbox.io.media import MediaSource


def write(path: Path, form: str) -> None:
    """Write a tiny network with the fingerprint "abc"."""
    if form == "torch":
        program = torch.export.export(torch.nn.ReLU(), (torch.zeros(3),))
        path.write_bytes(program_bytes(program, {"classes": "[]", JOB: '"abc"'}))
        return
    onnx = pytest.importorskip("onnx")
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    model.metadata_props.add(key=JOB, value='"abc"')
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_a_complete_file_of_the_same_job_is_recognized(tmp_path: Path, form: str) -> None:
    settings = ExportSettings(tmp_path / "net", form, job="abc")
    assert not is_exported(settings)
    write(settings.output, form)
    assert is_exported(settings)
    for job in ("abd", ""):
        assert not is_exported(dataclasses.replace(settings, job=job))
    assert not is_exported(dataclasses.replace(settings, form="onnx" if form == "torch" else "torch"))
    whole = settings.output.read_bytes()
    settings.output.write_bytes(whole[: len(whole) // 2])
    assert not is_exported(settings)


def test_the_fingerprint_depends_on_weights_settings_and_images(tmp_path: Path) -> None:
    weights, image = tmp_path / "w.pth", tmp_path / "a.png"
    weights.write_bytes(b"1")
    image.write_bytes(b"1")
    source = MediaSource("image", str(image), "a.png")
    plain = ExportSettings(tmp_path / "net.onnx")
    first = export_fingerprint(config(), str(weights), plain, [source])
    moved = dataclasses.replace(plain, output=tmp_path / "other.onnx", job="x")
    assert export_fingerprint(config(), str(weights), moved, [source]) == first
    found = [
        export_fingerprint(config(), str(weights), dataclasses.replace(plain, opset=20), [source]),
        export_fingerprint(config(), str(weights), plain),
    ]
    image.write_bytes(b"12")
    found.append(export_fingerprint(config(), str(weights), plain, [source]))
    weights.write_bytes(b"2")
    found.append(export_fingerprint(config(), str(weights), plain, [source]))
    assert len({first, *found}) == 5
