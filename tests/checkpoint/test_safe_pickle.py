"""Pickles of arrays: same content as with plain unpickling, and no code is run."""

import collections
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from depthbox.checkpoint.formats.safe_pickle import UnsafePickleError, read_arrays

# Two float32 as written by Python 2 and numpy 1, with byte strings throughout.
PYTHON_2 = (
    b"\x80\x02}U\x08conv1_w0cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x89U\x08" + struct.pack("<2f", 1.5, -2.0) + b"tb."
)


@pytest.fixture
def stored(tmp_path):
    def store(content, protocol=2):
        path = tmp_path / "weights.pkl"
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
        return path

    return store


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@settings(max_examples=60, deadline=None)
@given(
    array=arrays.arrays(
        st.sampled_from(["f2", "f4", "f8", "i1", "i8", "u1", "?", "c8"]).map(np.dtype),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    order=st.sampled_from("CF"),
    protocol=st.integers(0, 5),
)
def test_arrays_are_unchanged(tmp_path_factory, array, order, protocol):
    content = {"model": {"a": np.array(array, order=order), "b": [1, 2.5, "x", None, (True,)]}, "same": array}
    path = tmp_path_factory.mktemp("pickle") / "a.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    assert same(content, read_arrays(path))


def test_content_beside_weights(stored):
    shared = np.arange(6.0).reshape(2, 3)[:, ::2]
    content = {
        "blobs": collections.OrderedDict(a=shared, b=shared),
        "big_endian": np.array([1, 258], ">i4"),
        "scalar": np.float32(0.5),
        "bytes": b"\xff\x00",
        "__author__": "Caffe2",
    }
    for protocol in range(6):
        found = read_arrays(stored(content, protocol))
        assert np.array_equal(found["blobs"]["a"], shared) and np.array_equal(found["blobs"]["b"], shared)
        assert type(found["blobs"]) is dict
        assert found["big_endian"].dtype == np.dtype("=i4") and found["big_endian"].tolist() == [1, 258]
        assert found["scalar"] == np.float32(0.5) and found["bytes"] == b"\xff\x00"
    found["big_endian"][0] = 7  # writable


def test_pickle_of_python_2(stored):
    content = PYTHON_2.replace(b"U\x08conv1_w0", b"U\x07conv1_w")[:-1] + b"s."
    found = read_arrays(stored(content))
    assert found["conv1_w"].dtype == np.float32 and found["conv1_w"].tolist() == [1.5, -2.0]
    assert same(found, pickle.loads(content, encoding="latin1"))


class Runs:
    """Object whose function is called when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_that_runs_a_command_is_refused(stored, tmp_path, protocol):
    mark = tmp_path / "it_ran"
    path = stored({"model": {"w": np.ones(2)}, "x": Runs(os.system, f"touch '{mark}'")}, protocol)
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the payload is a real one"
    mark.unlink()
    with pytest.raises(UnsafePickleError, match=r"weights\.pkl is refused: it asks for (posix|nt)\.system,.*another"):
        read_arrays(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (Runs(eval, "1"), r"(__builtin__|builtins)\.eval"),
        (Runs(getattr, "", "upper"), r"(__builtin__|builtins)\.getattr"),
        (b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.", r"numpy\.core\.multiarray\._reconstruct\.__globals__"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0bdtype.mro()\x93.", r"numpy\.dtype\.mro\(\)"),
        (np.array([{}, 1], dtype=object), "an array of the type 'O8'"),
        (np.zeros(2, "f4,i4"), "an array of the type 'V8'"),
        (b"cnumpy\ndtype\n.", "a Call instead of a value"),
        # A pickle cannot change functions and types of the reader: here attributes of dtype by BUILD.
        (b"cnumpy\ndtype\nN}U\x05_codeU\x01Os\x86b.", "a change of a built-in object"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", None),  # NEWOBJ
        (b"\x80\x02P1\n.", None),  # a persistent id
    ],
)
def test_other_objects_are_refused(stored, content, name):
    error = ValueError if name is None else UnsafePickleError
    with pytest.raises(
        error, match=rf"weights\.pkl {'cannot be read' if name is None else f'is refused: it asks for {name}'}"
    ):
        read_arrays(stored(content))


def test_bytes_do_not_become_pointers(stored):
    """A forged state of a dtype makes numpy itself interpret bytes as pointers to objects."""
    forged = (
        PYTHON_2[PYTHON_2.index(b"cnumpy.core") :].replace(b"U\x02f4", b"U\x02O8").replace(b"K\x02\x85", b"K\x01\x85")
    )
    with pytest.raises(UnsafePickleError, match="an array of the type 'O8'"):
        read_arrays(stored(b"\x80\x02" + forged))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02}",
        b"no pickle at all",
        pickle.dumps({"w": np.ones(100)})[:-60],
        PYTHON_2[PYTHON_2.index(b"cnumpy.core") :].replace(
            b"K\x02\x85", b"K\x03\x85"
        ),  # a shape of three numbers for two
        b"]" * 100_000 + b"a" * 99_999 + b".",  # nested too deeply
    ],
    ids=["empty", "cut", "text", "half", "shape", "deep"],
)
def test_damaged_files_are_named(stored, content):
    with pytest.raises(ValueError, match=r"weights\.pkl cannot be read as a pickle of arrays"):
        read_arrays(stored(content))


def test_list_that_contains_itself(stored):
    endless: list = [1]
    endless.append(endless)
    found = read_arrays(stored(endless))
    assert found[0] == 1 and found[1] is found
