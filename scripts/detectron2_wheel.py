"""Conversion of the source distribution of Detectron2 0.5 to a pure-Python wheel.

Used by install_detectron2.py. The changes are explicit rules with a number of matches; a rule that matches another
number of places stops the build.
"""

import base64
import dataclasses
import hashlib
import re
import tarfile
import zipfile
from pathlib import Path

SDIST_SHA256 = "53c9e79e9cc943e80419c588ea44b5479507a8628ed14a4e06bd093e29311b18"
WHEEL_VERSION = "0.5+depthbox.1"  # increase the last number after a change of RULES, LEFT_OUT or STUB

STUB = '''"""Stands in for Detectron2's compiled operations, which this pure-Python build does not have."""


def get_compiler_version():
    return "none (pure-Python build, see DepthBox scripts/install_detectron2.py)"


def get_cuda_version():
    return "none"


def has_cuda():
    return False


def __getattr__(name):
    raise AttributeError(
        f"detectron2._C.{name} is not available: this Detectron2 is a pure-Python build, without compiled "
        "operations. To use it, uninstall detectron2 and build all of it: pip install --no-build-isolation "
        "'git+https://github.com/facebookresearch/detectron2.git'"
    )
'''


class WheelError(Exception):
    """Failed build; the message has the cause and the remedy."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """Replacement of each match of `pattern` in the file `path` by `new`; exactly `count` matches are required."""

    path: str
    pattern: str
    new: str
    count: int


# numpy 1.24 dropped its aliases of the builtins; Pillow 10 dropped Image.LINEAR; numpy 2 refuses copy=False
# where a copy is needed; the fast COCO evaluation is C++.
NUMPY_ALIAS = r"\bnp\.(bool|int|float|object|str)\b"
RULES = (
    Rule("data/build.py", NUMPY_ALIAS, r"\1", 2),
    Rule("data/datasets/pascal_voc.py", NUMPY_ALIAS, r"\1", 1),
    Rule("data/transforms/transform.py", r"\bImage\.LINEAR\b", "Image.BILINEAR", 1),
    Rule("evaluation/pascal_voc_evaluation.py", NUMPY_ALIAS, r"\1", 2),
    Rule("evaluation/sem_seg_evaluation.py", NUMPY_ALIAS, r"\1", 7),
    Rule("structures/masks.py", NUMPY_ALIAS, r"\1", 2),
    Rule("utils/video_visualizer.py", NUMPY_ALIAS, r"\1", 1),
    Rule("utils/visualizer.py", NUMPY_ALIAS, r"\1", 3),
    Rule("layers/mask_ops.py", r"np\.array\(mask, copy=False\)", "np.asarray(mask)", 1),
    Rule("evaluation/coco_evaluation.py", r"\(COCOeval_opt if use_fast_impl else COCOeval\)", "COCOeval", 1),
    Rule("evaluation/coco_evaluation.py", r"from \S+\.fast_eval_api import COCOeval_opt\n", "", 1),
)
# Modules that need caffe2, pkg_resources, the compiled operations or files outside the package; DepthBox does not use
# them.
LEFT_OUT = (
    "export/",
    "model_zoo/",
    "projects/",
    "evaluation/fast_eval_api.py",
    "utils/analysis.py",
    "utils/testing.py",
)


def apply_rules(sources: dict[str, str], rules: tuple[Rule, ...]) -> dict[str, str]:
    """Return a copy of `sources` (path -> text) with all rules applied.

    Raises:
        WheelError: a file is missing, or a rule has another number of matches.
    """
    patched = dict(sources)
    for rule in rules:
        if rule.path not in patched:
            raise WheelError(f"rule for {rule.path}: the sources have no such file")
        patched[rule.path], found = re.subn(rule.pattern, rule.new, patched[rule.path])
        if found != rule.count:
            raise WheelError(f"rule {rule.pattern!r}, {rule.path}: {found} matches instead of {rule.count}")
    return patched


def verify_hash(path: Path, expected: str = SDIST_SHA256) -> None:
    """Raise WheelError unless the file at `path` has the sha256 `expected`."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise WheelError(
            f"{path} has sha256 {found} instead of {expected}: the download is corrupt or has been replaced. "
            "Try again; if the error persists, do not use the file and install Detectron2 yourself"
        )


def read_sources(sdist: Path) -> tuple[dict[str, str], str]:
    """Return the Python files of the package (path inside it -> text) and the license text of the sdist."""
    sources, license_text = {}, ""
    with tarfile.open(sdist) as archive:
        for member in archive:
            _, _, inner = member.name.partition("/")
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is None:
                continue
            if inner == "LICENSE":
                license_text = stream.read().decode()
            elif inner.startswith("detectron2/") and inner.endswith(".py"):
                sources[inner.removeprefix("detectron2/")] = stream.read().decode()
    return {path: text for path, text in sources.items() if not path.startswith(LEFT_OUT)}, license_text


def build_wheel(sdist: Path, wheel_dir: Path) -> Path:
    """Write the patched pure-Python wheel into `wheel_dir` and return its path."""
    sources, license_text = read_sources(sdist)
    files = {f"detectron2/{path}": text for path, text in apply_rules(sources, RULES).items()}
    files["detectron2/_C.py"] = STUB
    info = f"detectron2-{WHEEL_VERSION}.dist-info"
    files[f"{info}/LICENSE"] = license_text
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: detectron2\nVersion: {WHEEL_VERSION}\n"
        "Summary: Detectron2 0.5, changed by DepthBox scripts/install_detectron2.py to need no compiler\n"
        "Home-page: https://github.com/facebookresearch/detectron2\nLicense: Apache-2.0\n"
    )
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: depthbox\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = [f"{path},{_record_hash(text)},{len(text.encode())}\n" for path, text in files.items()]
    files[f"{info}/RECORD"] = "".join(record) + f"{info}/RECORD,,\n"
    wheel_dir.mkdir(parents=True, exist_ok=True)
    wheel = wheel_dir / f"detectron2-{WHEEL_VERSION}-py3-none-any.whl"
    partial = wheel.with_suffix(".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, text in files.items():
                archive.writestr(path, text)
        return partial.replace(wheel)
    finally:
        partial.unlink(missing_ok=True)


def _record_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
