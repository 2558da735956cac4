"""HDF5 files that point elsewhere, or declare more than they hold, are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import FormatError
from graphjit.formats import hdf5, keras_weights
from graphjit.formats.keras_weights import LayerWeights
from graphjit.formats.limits import DEFAULT_LIMITS, Limits

KERNEL = "dense/kernel:0"
PATH = "dense/dense/kernel:0"


def dense_model() -> gj.Model:
    x = gj.Input((3,), name="x")
    y = gj.layers.Dense(2, use_bias=False, name="dense")(x)
    return gj.Model(x, y)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good file, for tests to spoil."""
    target = tmp_path / "w.h5"
    dense_model().save_weights(target)
    return target


def load(path: Path, limits: Limits | None = None) -> None:
    dense_model().load_weights(path, limits=limits)


def replaced(path: Path, make: Callable[[Any], None], at: str = PATH) -> None:
    """Put something else in the place of the kernel."""
    with h5py.File(path, "a") as file:
        del file[at]
        make(file)


def test_the_good_file(path: Path) -> None:
    load(path)


# --- links ------------------------------------------------------------------------

LINKS: dict[str, Callable[[Path], Any]] = {
    "soft": lambda _: h5py.SoftLink("/secret"),
    "external": lambda other: h5py.ExternalLink(str(other), "/secret"),
}


@pytest.mark.parametrize("at", [PATH, "dense/dense", "dense"])
@pytest.mark.parametrize("kind", LINKS)
def test_links_are_not_followed(path: Path, kind: str, at: str, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    secret = np.full((3, 2), 42.0, np.float32)
    for target in (other, path):
        with h5py.File(target, "a") as file:
            file["secret"] = secret
    replaced(path, lambda file: file.__setitem__(at, LINKS[kind](other)), at)
    text = r"w\.h5: '/.*': expected a group or dataset in this place, received a link"
    with pytest.raises(FormatError, match=text):
        load(path)


def test_the_group_of_a_whole_model_is_no_link_either(
    tmp_path: Path, path: Path
) -> None:
    outer = tmp_path / "outer.h5"
    with h5py.File(outer, "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(path), "/")
    with pytest.raises(FormatError, match="received a link\n  hint: links can lead"):
        load(outer)


def test_names_stay_inside(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["secret"] = np.zeros((3, 2), np.float32)
        file["dense"].attrs["weight_names"] = np.asarray([b"/secret"])
    with pytest.raises(FormatError, match="'/dense/secret': nothing is there"):
        load(path)
    with h5py.File(path, "a") as file:
        file["dense"].attrs["weight_names"] = np.asarray([b"./dense/kernel:0"])
    with pytest.raises(FormatError, match="nothing is there"):
        load(path)


# --- datasets ---------------------------------------------------------------------


def external_storage(file: Any) -> None:
    size = 3 * 2 * 4
    file.create_dataset(PATH, (3, 2), np.float32, external=[("/etc/hostname", 0, size)])


def virtual(file: Any) -> None:
    file["source"] = np.zeros((3, 2), np.float32)
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource(file["source"])
    file.create_virtual_dataset(PATH, layout)


def objects(file: Any) -> None:
    file.create_dataset(PATH, data=np.array([["a", "b"]] * 3, h5py.string_dtype()))


def references(file: Any) -> None:
    file.create_dataset(PATH, (3, 2), h5py.ref_dtype)


def compound(file: Any) -> None:
    file.create_dataset(PATH, (3, 2), np.dtype([("a", "f4"), ("b", "f4")]))


def fixed_text(file: Any) -> None:
    file.create_dataset(PATH, data=np.full((3, 2), b"abcd"))


def never_written(file: Any) -> None:
    file.create_dataset(PATH, (2**20, 2**10), np.float32)


def shape_bomb(file: Any) -> None:
    file.create_dataset(PATH, (2**40, 2**20), np.float32)


def chunked_bomb(file: Any) -> None:
    file.create_dataset(PATH, (2**20, 2**10), np.float32, chunks=(1, 2**10))


def big_chunks(file: Any) -> None:
    file.create_dataset(
        PATH, (3, 2), np.float32, chunks=(2**10, 2**10), maxshape=(None, None)
    )


def compressed_bomb(file: Any) -> None:
    zeros = np.zeros((2**12, 2**10), np.float32)
    file.create_dataset(PATH, data=zeros, compression="gzip", compression_opts=9)


def no_dataspace(file: Any) -> None:
    file[PATH] = h5py.Empty(np.float32)


def a_group(file: Any) -> None:
    file.create_group(PATH)


def plugin(file: Any) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((3, 2))
    properties.set_filter(32013, h5py.h5z.FLAG_OPTIONAL, (1,))
    space = h5py.h5s.create_simple((3, 2))
    made = h5py.h5d.create(
        file["dense/dense"].id, b"kernel:0", h5py.h5t.IEEE_F32LE, space, properties
    )
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros((3, 2), np.float32))


BAD: list[tuple[Callable[[Any], None], str]] = [
    (external_storage, "its data are in other files, which are not read"),
    (virtual, "its data are in other files, which are not read"),
    (objects, "expected an array of numbers, received object"),
    (references, "expected an array of numbers, received object"),
    (compound, r"expected an array of numbers, received \[\('a', '<f4'\)"),
    (fixed_text, r"expected an array of numbers, received \|S4"),
    (never_written, "declares 4294967296 bytes, but the file holds 0"),
    (shape_bomb, r"shape \(1099511627776, 1048576\) declares .*limit elements"),
    (chunked_bomb, "declares 4294967296 bytes, but the file holds 0"),
    (big_chunks, "its chunks have 4194304 bytes, all of it has 24"),
    (compressed_bomb, r"16777216 bytes out of \d+ \(limit ratio = 256\)"),
    (no_dataspace, "expected an array, received an empty dataspace"),
    (a_group, "expected an array, received a group"),
    (plugin, r"filter 32013 is not read \(known here: gzip, shuffle, fletcher32, lzf"),
]


@pytest.mark.parametrize(
    ("make", "text"), BAD, ids=lambda v: getattr(v, "__name__", "")
)
def test_bad_datasets(path: Path, make: Callable[[Any], None], text: str) -> None:
    replaced(path, make)
    with pytest.raises(FormatError, match=text):
        load(path)


@pytest.mark.parametrize(
    "dtype", ["float16", "float64", ">f4", "int8", "uint16", "bool"]
)
def test_numbers_of_any_type(path: Path, dtype: str) -> None:
    wanted = np.arange(6).reshape(3, 2).astype(dtype)
    replaced(path, lambda file: file.create_dataset(PATH, data=wanted))
    model = dense_model()
    model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights()[0], wanted.astype(np.float32))


@pytest.mark.parametrize("dtype", ["float32", ">f4", "bool", "bfloat16"])
@pytest.mark.parametrize("more", [{}, {"compression": "lzf"}])
def test_large_arrays_begin_where_xla_needs_no_copy(
    tmp_path: Path, dtype: str, more: dict[str, Any]
) -> None:
    wanted = (np.arange(2**20 + 6) % 251).reshape(2, -1)
    typed = wanted.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("large", data=typed, **more)
        found = hdf5.read_array(file["large"], DEFAULT_LIMITS)
    assert found.ctypes.data % 64 == 0
    assert found.dtype == typed.dtype
    np.testing.assert_array_equal(found, typed)


@pytest.mark.parametrize("filters", [{"compression": "gzip"}, {"compression": "lzf"}])
def test_honest_compression(path: Path, filters: dict[str, Any]) -> None:
    wanted = np.ones((3, 2), np.float32)
    more = {"shuffle": True, "fletcher32": True, **filters}
    replaced(path, lambda file: file.create_dataset(PATH, data=wanted, **more))
    model = dense_model()
    model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights()[0], wanted)


def test_the_ratio_can_be_raised(path: Path) -> None:
    replaced(path, compressed_bomb)
    with h5py.File(path) as file:
        shape, dtype = hdf5.array_type(file[PATH], Limits(ratio=10**4))
    assert (shape, dtype) == ((2**12, 2**10), "float32")


# --- attributes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros(3), "attribute 'weight_names': expected strings, received float64"),
        (np.zeros((2, 2), "S3"), r"expected a list, received shape \(2, 2\)"),
        (np.asarray([b"x"] * 30), "expected a list, received shape"),
    ],
    ids=["numbers", "matrix", "many"],
)
def test_bad_names(path: Path, value: Any, text: str) -> None:
    with h5py.File(path, "a") as file:
        file["dense"].attrs["weight_names"] = value
    with pytest.raises(FormatError, match=text):
        load(path, Limits(tensors=20))


def test_long_attributes(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = "2" * 2000
    with pytest.raises(FormatError, match=r"2000 characters \(limit header_bytes"):
        load(path, Limits(header_bytes=1000))
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = np.asarray([b"2", b"3"])
    with pytest.raises(FormatError, match="attribute 'keras_version': expected one st"):
        load(path)


def test_lists_of_any_kind_of_text(path: Path) -> None:
    for value in ([KERNEL], np.asarray([KERNEL.encode()]), [KERNEL.encode()]):
        with h5py.File(path, "a") as file:
            file["dense"].attrs["weight_names"] = value
        load(path)


# --- files ------------------------------------------------------------------------


def test_no_hdf5(tmp_path: Path) -> None:
    target = tmp_path / "w.h5"
    target.write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(
        FormatError, match=r"w\.h5: not an HDF5 file: it begins with b'PK"
    ):
        load(target)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.h5")
    with pytest.raises(FormatError, match="expected a regular file"):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(FormatError, match="expected a regular file"):
        load(tmp_path / "pipe.h5")


def test_other_layouts(tmp_path: Path) -> None:
    target = tmp_path / "w.h5"
    with h5py.File(target, "w") as file:
        file.create_group("layers/dense/vars")
    text = (
        r"the weights are in Keras 3's \.weights\.h5 layout, not in Keras 2's\n  hint"
    )
    with pytest.raises(FormatError, match=text):
        load(target)
    with h5py.File(target, "w") as file:
        file["x"] = 1
    with pytest.raises(FormatError, match="no weights of Keras: there is no attribute"):
        load(target)
    with h5py.File(target, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
    with pytest.raises(FormatError, match="'/dense': nothing is there"):
        load(target)
    with h5py.File(target, "a") as file:
        file.create_group("dense")
    with pytest.raises(
        FormatError, match="'/dense': there is no attribute 'weight_nam"
    ):
        load(target)


def test_truncated_and_damaged_files(path: Path) -> None:
    """Wherever it ends, and whatever byte of its structure is turned: no crash."""
    data = path.read_bytes()
    before = dense_model().get_weights()[0]
    for end in range(0, len(data), 97):
        path.write_bytes(data[:end])
        with pytest.raises(FormatError):
            load(path)
    for at in range(0, 1200, 7):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        model = dense_model()
        try:
            model.load_weights(path)
        except (FormatError, gj.errors.DataError):
            np.testing.assert_array_equal(model.get_weights()[0], before)


# --- writing ----------------------------------------------------------------------


def test_long_lists_are_written_in_parts(tmp_path: Path) -> None:
    """As Keras does: HDF5 holds 64 kB in an attribute."""
    names = [f"{'long' * 20}_{at}" for at in range(1500)]
    target = tmp_path / "w.h5"
    weights = ((f"{names[0]}/kernel:0", np.ones(2, np.float32)),)
    layers = [LayerWeights(names[0], weights)]
    keras_weights.save(target, layers + [LayerWeights(name, ()) for name in names[1:]])
    with h5py.File(target) as file:
        assert "layer_names" not in file.attrs
        assert all(file.attrs[f"layer_names{at}"].nbytes <= 64512 for at in range(2))
        assert hdf5.text_list(file, "layer_names", DEFAULT_LIMITS) == names
        (stored,) = keras_weights.read(file, DEFAULT_LIMITS).layers
    assert stored.name == names[0]


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([LayerWeights("a/./b", ())], "'a/./b' cannot be a name in HDF5"),
        ([LayerWeights("a//b", ())], "'a//b' cannot be a name in HDF5"),
        ([LayerWeights("x" * 70000, ())], "the name 'x{40}'… is too long for HDF5"),
        (
            [LayerWeights("top_level_model_weights", ())],
            "layer 'top_level_model_weights': another entry of the file has that name",
        ),
        (
            [LayerWeights("a", (("b", np.ones(1)),)), LayerWeights("a/b", ())],
            "layer 'a/b': another entry of the file has that name",
        ),
    ],
    ids=["dot", "empty", "long", "reserved", "taken"],
)
def test_names_that_cannot_be_written(
    tmp_path: Path, layers: list[LayerWeights], text: str
) -> None:
    with pytest.raises(FormatError, match=text):
        keras_weights.save(tmp_path / "w.h5", layers)
    assert not list(tmp_path.iterdir())
