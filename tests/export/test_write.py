"""Exported files run by ONNX Runtime and torch, compared with the network."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from export_toy import SHAPES, Exported, config, random_network, smooth_image

from depthbox.export import (
    ExportError,
    ExportGraph,
    ExportInput,
    check_runner,
    export_program,
    make_runner,
    pad_image,
    write,
)
from depthbox.export.write import onnx_bytes, program_bytes

pytest.importorskip("onnxruntime")


@pytest.mark.slow
def test_onnx_equals_the_network_for_images_of_any_size(
    exported: Exported, make_inputs: Callable[[], list[ExportInput]]
) -> None:
    report = check_runner(exported.model, True, make_runner(exported.content, "onnx"), make_inputs())
    assert not report.failures and report.unmatched == 0
    assert report.images == len(SHAPES) and report.detections > 20
    assert report.mask_iou >= 0.999


@pytest.mark.slow
def test_onnx_of_an_image_without_objects(exported: Exported) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(exported.content)
    name = "model.proposal_generator.fcos_head.cls_logits.bias"
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    bias.CopyFrom(numpy_helper.from_array(np.full(8, -30, dtype=np.float32), name))
    outputs = make_runner(model.SerializeToString(), "onnx")(pad_image("", smooth_image(64, 96), (40, 50)))
    assert outputs["boxes"].shape == (0, 4) and outputs["masks"].shape == (0, 40, 50)
    assert outputs["scores"].shape == outputs["depths"].shape == outputs["classes"].shape == (0,)


@pytest.mark.slow
def test_onnx_names_and_types(exported: Exported) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(exported.content, providers=["CPUExecutionProvider"])
    assert [(x.name, x.type) for x in session.get_inputs()] == [
        ("image", "tensor(uint8)"),
        ("valid", "tensor(int64)"),
        ("size", "tensor(int64)"),
    ]
    assert [(x.name, x.type) for x in session.get_outputs()] == [
        ("boxes", "tensor(float)"),
        ("classes", "tensor(int64)"),
        ("scores", "tensor(float)"),
        ("masks", "tensor(bool)"),
        ("depths", "tensor(float)"),
    ]
    assert session.get_modelmeta().custom_metadata_map["classes"] == '["a"]'


@pytest.mark.slow
def test_images_of_one_size_in_both_formats() -> None:
    cfg = config("MODEL.DEPTH.LAYER", "False")
    model = random_network(cfg)
    graph = ExportGraph(model, cfg.INPUT.FORMAT)
    program = export_program(graph, (96, 128))
    images = [
        pad_image(str(size), smooth_image(70, 100, seed), size, fixed=(96, 128))
        for seed, size in enumerate([(70, 100), (31, 45)])
    ]
    for form, content in (("onnx", onnx_bytes(graph, program)), ("torch", program_bytes(program, {"a": "b"}))):
        report = check_runner(model, True, make_runner(content, form), images)
        assert not report.failures and report.unmatched == 0 and report.detections > 10, form
    notes = {"a": ""}
    torch.export.load(io.BytesIO(content), extra_files=notes)
    assert notes["a"] == "b"


def test_deformable_convolutions_are_refused() -> None:
    words = [
        *("MODEL.BACKBONE.NAME", "build_depthbox_resnet_fpn_backbone", "MODEL.RESNETS.OUT_FEATURES"),
        *("['res3', 'res4', 'res5']", "MODEL.FPN.IN_FEATURES", "['res3', 'res4', 'res5']"),
        *("MODEL.RESNETS.DEFORM_ON_PER_STAGE", "[False, False, False, True]"),
    ]
    graph = ExportGraph(random_network(config(*words)), "BGR")
    with pytest.raises(ExportError, match="--format torch"):
        onnx_bytes(graph, None)  # type: ignore[arg-type]  # refused before the program is used


def test_networks_that_torch_cannot_trace_are_named() -> None:
    graph = ExportGraph(random_network(config()), "BGR")
    graph.model.backbone.forward = lambda images: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(ExportError, match=r"--fixed-size.*ZeroDivisionError"):
        export_program(graph)


@pytest.mark.parametrize("name", ["onnx", "onnxscript"])
def test_missing_packages_are_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = write.importlib.import_module

    def import_module(wanted: str) -> object:
        if wanted == name:
            raise ImportError(wanted)
        return real(wanted)

    monkeypatch.setattr(write.importlib, "import_module", import_module)
    with pytest.raises(ImportError, match=rf"{name}: pip install 'depthbox\[export\]'"):
        onnx_bytes(ExportGraph(random_network(config()), "BGR"), None)  # type: ignore[arg-type]
