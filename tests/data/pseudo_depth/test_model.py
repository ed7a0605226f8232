import json
import shutil
import sys

import numpy as np
import pytest
import torch

from depthbox.data.pseudo_depth.model import (
    DepthModel,
    ModelInfo,
    PseudoDepthError,
    describe_model,
    invert_distance,
)
from depthbox.data.pseudo_depth.worker import finish_depth

pytest.importorskip("transformers")
import transformers
from pseudo_depth_toy import MODELS, break_weights, photo, save_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {name: save_model(tmp_path_factory.mktemp("models") / name, name) for name in MODELS}


def test_description_tells_type_convention_and_weights(models):
    dpt, relative, metric = (describe_model(models[name]) for name in MODELS)
    assert (dpt.model_type, dpt.inverted, dpt.name) == ("dpt", False, models["dpt"])
    assert (relative.model_type, relative.inverted) == ("depth_anything", False)
    assert (metric.model_type, metric.inverted) == ("depth_anything", True)
    assert len({info.weights for info in (dpt, relative, metric)}) == 3
    assert dpt.weights.startswith("sha256 ") and len(dpt.weights) == 7 + 64


def test_weights_are_known_by_their_bytes_not_by_the_folder(models, tmp_path):
    again = describe_model(save_model(tmp_path / "copy", "dpt"))
    assert again.weights == describe_model(models["dpt"]).weights
    changed = save_model(tmp_path / "other", "dpt", lambda network, _: network.head.head[0].bias.data.add_(1))
    assert describe_model(changed).weights != again.weights


@pytest.mark.parametrize(
    ("make", "inverted"),
    [
        (lambda: transformers.ZoeDepthConfig(), True),
        (lambda: transformers.GLPNConfig(), True),
        (lambda: transformers.DepthProConfig(), False),
        (lambda: transformers.DPTConfig(is_hybrid=True), False),
        (lambda: transformers.DPTConfig(backbone_config=transformers.Dinov2Config()), None),
    ],
)
def test_inversion_by_type(tmp_path, make, inverted):
    make().save_pretrained(tmp_path)
    if inverted is None:
        with pytest.raises(PseudoDepthError, match="--invert yes"):
            describe_model(str(tmp_path))
    else:
        assert describe_model(str(tmp_path)).inverted is inverted
    assert describe_model(str(tmp_path), invert="yes").inverted
    assert not describe_model(str(tmp_path), invert="no").inverted


@pytest.mark.parametrize("name", MODELS)
def test_prediction_equals_a_plain_forward(models, name):
    image = photo(33, 47)
    model = DepthModel(describe_model(models[name]))
    one = model.prepare(image)
    depth = model.predict([one, one])[1]
    pixels = transformers.DPTImageProcessor.from_pretrained(models[name])(images=image, return_tensors="pt")
    network = transformers.AutoModelForDepthEstimation.from_pretrained(models[name])
    with torch.no_grad():
        expected = network(**pixels).predicted_depth[0]
    assert one.image_size == (33, 47) and torch.equal(one.pixels, pixels["pixel_values"][0])
    assert expected.std() > 0.01 * expected.mean() > 0, "the toy's map should not be flat"
    expected = 1 / expected if name == "metric" else expected
    torch.testing.assert_close(depth, expected, rtol=1e-5, atol=1e-6)


def test_padding_of_the_processor_is_cut_off(tmp_path):
    def pad(_, processor):
        processor.do_resize, processor.do_pad, processor.size_divisor = False, True, 32

    folder = save_model(tmp_path, "dpt", pad)
    model = DepthModel(describe_model(folder))
    # The toy network takes 32 x 32 only: 20 x 27 is padded by 6 above and below, 2 left, 3 right.
    one = model.prepare(photo(20, 27))
    assert one.pixels.shape == (3, 32, 32) and one.unpadded == (20, 27)
    network = transformers.DPTForDepthEstimation.from_pretrained(folder)
    with torch.no_grad():
        full = torch.nn.functional.interpolate(network(one.pixels[None]).predicted_depth[None], 32, mode="bilinear")
    depth = model.predict([one])[0]
    torch.testing.assert_close(depth, full[0, 0, 6:26, 2:29])


def zoedepth(folder):
    """A tiny ZoeDepth; its backbone, BEiT, needs four feature maps."""
    backbone = transformers.BeitConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.ZoeDepthConfig(
        backbone_config=backbone, backbone_hidden_size=32, neck_hidden_sizes=[8] * 4, fusion_hidden_size=8,
        bottleneck_features=8, num_relative_features=8, bin_embedding_dim=8, num_attractors=[4, 2, 2, 1],
        bin_configurations=[{"n_bins": 8, "min_depth": 0.01, "max_depth": 10.0, "name": "nyu"}],
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.ZoeDepthForDepthEstimation(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.ZoeDepthImageProcessor(size=size, keep_aspect_ratio=False).save_pretrained(folder)


def test_zoedepth_loses_its_padding_and_is_inverted(tmp_path):
    zoedepth(tmp_path)
    image = photo(40, 60)
    model = DepthModel(describe_model(str(tmp_path)))
    depth = model.predict([model.prepare(image)])[0]
    assert depth.shape == (40, 60)
    processor = transformers.ZoeDepthImageProcessor.from_pretrained(tmp_path)
    network = transformers.ZoeDepthForDepthEstimation.from_pretrained(tmp_path)
    with torch.no_grad():
        outputs = network(**processor(images=image, return_tensors="pt"))
    meters = processor.post_process_depth_estimation(outputs, source_sizes=[(40, 60)])[0]["predicted_depth"]
    torch.testing.assert_close(depth, 1 / meters, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 50, 3), (1, 1, 3), (50, 3, 3)])
def test_thin_images_are_not_taken_for_channels_first(models, shape):
    model = DepthModel(describe_model(models["dpt"]))
    one = model.prepare(np.zeros(shape, np.uint8))
    assert one.image_size == shape[:2] and one.pixels.shape == (3, 32, 32)


def test_inverse_of_a_distance():
    inverse = invert_distance(torch.tensor([[1.0, 2.0, 4.0], [-1.0, 0.0, 1e-9]]))
    assert torch.allclose(inverse, torch.tensor([[1.0, 0.5, 0.25], [250.0, 250.0, 250.0]]))


@pytest.mark.parametrize("size", [(8, 10), (13, 7), (40, 50)])
def test_finishing_resizes_and_stretches(size):
    from depthbox.data.depth_io import resize_depth

    raw = torch.rand(16, 20) * 30 + 5
    depth = finish_depth(raw, size)
    expected = resize_depth(raw.numpy(), size)
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    assert depth.dtype == np.float32 and depth.min() == 0 and depth.max() == 1
    assert np.abs(depth - expected).max() < 1e-5


@pytest.mark.parametrize("value", [0.0, 7.3, -2.0])
def test_constant_maps_are_in_the_middle(value):
    raw = torch.full((6, 8), value) * (1 + 1e-8 * torch.rand(6, 8))
    assert np.array_equal(finish_depth(raw, (5, 9)), np.full((5, 9), 0.5, np.float32))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_single_bad_value_is_an_error(value):
    raw = torch.rand(6, 8)
    raw[2, 3] = value
    with pytest.raises(PseudoDepthError, match="NaN or infinite"):
        finish_depth(raw, (6, 8))


def test_broken_network_gives_nan_not_zero(tmp_path):
    model = DepthModel(describe_model(save_model(tmp_path, "dpt", break_weights)))
    assert not torch.isfinite(model.predict([model.prepare(photo(20, 20))])[0]).any()


def test_mistakes_are_named(models, tmp_path):
    for name in ("dpt-large", str(tmp_path / "nowhere"), str(tmp_path)):
        with pytest.raises(PseudoDepthError, match=r"cannot be loaded.*preprocessor_config"):
            describe_model(name)
    transformers.ViTConfig().save_pretrained(tmp_path / "vit")
    with pytest.raises(PseudoDepthError, match="'vit' model"):
        describe_model(str(tmp_path / "vit"))
    with pytest.raises(PseudoDepthError, match="no revision 'v2'"):
        describe_model(models["dpt"], revision="v2")
    with pytest.raises(PseudoDepthError, match="not 'maybe'"):
        describe_model(models["dpt"], invert="maybe")
    with pytest.raises(PseudoDepthError, match="CUDA"):
        DepthModel(describe_model(models["dpt"]), "cpu", half=True)


def test_weights_without_head_are_refused(models, tmp_path):
    network = transformers.DPTForDepthEstimation.from_pretrained(models["dpt"])
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("head.")}
    network.save_pretrained(tmp_path, state_dict=state)
    transformers.DPTImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(PseudoDepthError, match="lack its output head"):
        DepthModel(describe_model(str(tmp_path)))


def test_no_weights_and_no_processor(models, tmp_path):
    info = ModelInfo(str(tmp_path), None, "sha256 0", "dpt", False)
    with pytest.raises(PseudoDepthError, match="cannot be loaded"):
        DepthModel(info)


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"depthbox\[depth\]"):
        describe_model("dpt-large")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"[1]"])
def test_a_damaged_file_of_a_model_is_a_mistake_of_the_user(models, tmp_path, name, damage):
    folder = tmp_path / "model"
    shutil.copytree(models["dpt"], folder)
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(PseudoDepthError, match=f"{folder}.* (cannot be (loaded|used)|is not|holds)|{name}"):
        DepthModel(describe_model(str(folder)))


def test_weights_that_are_code_are_refused_and_not_run(models, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(models["dpt"], folder)
    (folder / "model.safetensors").unlink()
    torch.save({"a": Payload(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(PseudoDepthError, match="cannot be loaded"):
        DepthModel(describe_model(str(folder)))
    assert not (tmp_path / "ran").exists()


def test_code_beside_a_model_is_refused_without_a_question(models, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(models["dpt"], folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "evil.C", "AutoModelForDepthEstimation": "evil.C"}, "model_type": "unknown"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PseudoDepthError, match="makes the library run other code, which is refused"):
        describe_model(str(folder))
    assert not (tmp_path / "ran").exists()


class Payload:
    """Object whose loading creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")
