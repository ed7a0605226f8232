"""One run of the benchmark: selection, devices, failures, interruption, and what is written."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from depthbox.benchmark import run as run_module
from depthbox.benchmark.comparison import Comparison, Options
from depthbox.benchmark.measure import Pass
from depthbox.benchmark.run import BENCHMARKS, CUDA_NAMES, PARTS, Benchmark, find_devices, run_benchmarks, select
from depthbox.benchmark.summary import Summary

CPU = torch.device("cpu")
QUICK = Options(CPU, quick=True, repeat=1)
SAME = Pass(lambda: {"value": 1.0})
POINT = {"op": "curve", "device": "cpu", "input": "tiny", "ours_s": 0.5, "ours_quartiles_s": [0.5, 0.5]}
POINT |= {"ours_peak_mb": 1.0, "ours_queries": 1, "baseline_queries": 1}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Benchmark]:
    """Replace the benchmarks by a comparison, a finished row, a curve, a failure and a wrong result."""

    def good(options: Options) -> Iterator[Comparison]:
        yield Comparison("good", SAME, SAME, about={"input": "tiny"})

    def plain(options: Options) -> Iterator[dict[str, Any]]:
        yield {"op": "plain", "device": "cpu", "speedup": None, "memory_ratio": None, "images_per_s": 5.0}

    def curve(options: Options) -> Iterator[dict[str, Any]]:
        for objects in (1, 8):
            yield {**POINT, "objects": objects}

    def broken(options: Options) -> Iterator[Comparison]:
        raise RuntimeError("no luck")
        yield

    def wrong(options: Options) -> Iterator[Comparison]:
        yield Comparison("wrong", SAME, Pass(lambda: {"value": 2.0}))

    parts = {
        "good": Benchmark("ops", good),
        "plain": Benchmark("data", plain, on_cuda=False),
        "curve": Benchmark("ops", curve, is_curve=True),
        "broken": Benchmark("ops", broken),
        "wrong": Benchmark("eval", wrong),
    }
    monkeypatch.setattr(run_module, "BENCHMARKS", parts)
    monkeypatch.setattr(run_module, "copy_bandwidth", lambda device: 1e9)
    monkeypatch.setattr(run_module, "matrix_rate", lambda device: 1e9)
    return parts


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def test_comparisons_rows_and_points_are_collected(registry: dict[str, Benchmark], tmp_path: Path) -> None:
    summary = run_benchmarks(["good", "plain", "curve"], [QUICK], tmp_path, show=False)
    content = read(tmp_path)
    assert [row["op"] for row in content["rows"]] == ["good", "plain"] and not content["failures"]
    assert [point["objects"] for point in content["objects"]] == [1, 8]
    assert content["rows"][0]["input"] == "tiny" and content["rows"][0]["max_difference"] == 0
    assert content["machines"]["cpu"]["copy_bandwidth"] == 1e9 and summary.quick
    assert {path.name for path in tmp_path.iterdir()} == {
        "summary.json", "summary.md", "summary.png", "objects_cpu.png"
    }  # fmt: skip


def test_failures_are_collected_and_the_other_rows_measured(registry: dict[str, Benchmark], tmp_path: Path) -> None:
    summary = run_benchmarks(["broken", "wrong", "good"], [QUICK], tmp_path, show=False)
    assert [failure["op"] for failure in summary.failures] == ["broken", "wrong"]
    assert summary.failures[0] == {"op": "broken", "device": "cpu", "error": "RuntimeError: no luck"}
    assert "DisagreementError: wrong: ours and the baseline differ by 0.5" in summary.failures[1]["error"]
    assert [row["op"] for row in read(tmp_path)["rows"]] == ["good"]


def test_a_repeated_row_replaces_the_row_and_the_failure(registry: dict[str, Benchmark], tmp_path: Path) -> None:
    run_benchmarks(["good", "broken", "curve"], [QUICK], tmp_path, show=False)
    registry["broken"] = Benchmark("ops", lambda options: iter([Comparison("broken", SAME, SAME)]))
    again = run_benchmarks(["good", "broken", "curve"], [QUICK], tmp_path, show=False)
    assert not again.failures and len(again.points) == 2
    assert [row["op"] for row in again.rows] == ["good", "broken"]


def test_rows_without_cuda_run_on_the_cpu_alone(registry: dict[str, Benchmark], tmp_path: Path) -> None:
    gpu = Options(torch.device("cuda"), quick=True, repeat=1)
    assert run_benchmarks(["plain"], [gpu], tmp_path, show=False).rows == []
    assert len(run_benchmarks(["plain"], [gpu, QUICK], tmp_path, show=False).rows) == 1


def test_an_interrupted_run_has_written_its_rows(registry: dict[str, Benchmark], tmp_path: Path) -> None:
    def stop(options: Options) -> Iterator[Comparison]:
        raise KeyboardInterrupt
        yield

    registry["stop"] = Benchmark("ops", stop)
    with pytest.raises(KeyboardInterrupt):
        run_benchmarks(["good", "stop", "plain"], [QUICK], tmp_path, show=False)
    assert [row["op"] for row in read(tmp_path)["rows"]] == ["good"] and (tmp_path / "summary.png").is_file()


def test_progress_is_printed_on_request(
    registry: dict[str, Benchmark], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_benchmarks(["plain", "broken"], [QUICK], tmp_path)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["plain", "cpu", "5", "images/s"] and shown[1].split()[-3:] == ["FAILED:", "no", "luck"]


def test_parts_and_names_are_selected() -> None:
    assert select([], []) == list(BENCHMARKS) and select(["eval"], []) == ["evaluation_boxes", "evaluation_masks"]
    assert select(["ops"], ["edges", "mask_losses"]) == ["mask_losses", "edges"]
    with pytest.raises(ValueError, match="--only train_step: the rows of ops are mask_losses"):
        select(["ops"], ["train_step"])
    assert {benchmark.part for benchmark in BENCHMARKS.values()} == set(PARTS)


def test_rows_of_cuda_are_named() -> None:
    assert "mask_losses" in CUDA_NAMES and not {"data", "objects", "evaluation_masks"} & set(CUDA_NAMES)


@pytest.mark.parametrize(
    ("word", "has_cuda", "names"),
    [("cpu", True, ["cpu"]), ("cuda", True, ["cuda"]), ("auto", True, ["cpu", "cuda"]), ("auto", False, ["cpu"])],
)
def test_devices_depend_on_the_machine(
    monkeypatch: pytest.MonkeyPatch, word: str, has_cuda: bool, names: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    assert [device.type for device in find_devices(word)] == names


def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="--device cuda, but PyTorch finds no CUDA device: use --device cpu"):
        find_devices("cuda")


def test_the_summary_of_another_program_is_refused(registry: dict[str, Benchmark], tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"box_AP": 1}')
    with pytest.raises(ValueError, match="not a summary of this tool: delete it, or choose another --output"):
        run_benchmarks(["good"], [QUICK], tmp_path, show=False)
    assert isinstance(Summary.open(tmp_path / "new", quick=True), Summary)
