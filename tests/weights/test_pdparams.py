"""`.pdparams`: every protocol is read, what is hostile is refused by name and runs nothing."""

import collections
import functools
import gzip
import io
import os
import pickle
import struct
import subprocess
import time

import numpy as np
import pytest

from ppocr_jax.errors import UserError
from ppocr_jax.weights.pdparams import read_pdparams, write_pdparams


def arrays():
    rng = np.random.default_rng(0)
    return {
        "backbone.conv.weight": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "backbone.bn._mean": rng.normal(size=4).astype(np.float32),
        "scalar": np.float32(2.5).reshape(()),
        "counts": np.arange(5, dtype=np.int64),
        "fortran": np.asfortranarray(rng.normal(size=(3, 4)).astype(np.float32)),
        "empty": np.zeros((0, 3), np.float32),
    }


def dump(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("module", [b"numpy.core", b"numpy._core"])
def test_every_protocol_is_read(tmp_path, protocol, module):
    content = {**arrays(), "StructuredToParameterName@@": {"a": "b"}}
    data = pickle.dumps(content, protocol=protocol)
    if protocol < 4:  # protocol 4 counts the letters of a name
        data = data.replace(b"cnumpy._core.", b"c" + module + b".")
    path = tmp_path / "weights.pdparams"
    path.write_bytes(data)
    read = read_pdparams(str(path))
    assert list(read) == list(arrays())
    for name, value in arrays().items():
        np.testing.assert_array_equal(read[name], value)
        assert read[name].dtype == value.dtype and read[name].shape == value.shape


def test_containers_that_paddle_uses(tmp_path):
    big = np.arange(10, dtype=np.float32)
    content = collections.OrderedDict(
        half=np.float16([1.5, -2.0]),
        pair=("conv2d_0.w_0", np.ones(2, np.float32)),
        number=np.float32(3.0),
        **{"big@@.0": big[:6], "big@@.1": big[6:]},
    )
    content["UnpackBigParamInfor@@"] = {
        "big": {"OriginShape": (2, 5), "slices": ["big@@.0", "big@@.1"]}
    }
    read = read_pdparams(dump(tmp_path / "a.pdparams", content))
    assert read["half"].dtype == np.float32 and list(read["half"]) == [1.5, -2.0]
    np.testing.assert_array_equal(read["pair"], [1, 1])
    np.testing.assert_array_equal(read["big"], big.reshape(2, 5))
    assert read["number"] == 3.0 and set(read) == {"half", "pair", "number", "big"}


def test_slices_that_do_not_fit(tmp_path):
    content = {"UnpackBigParamInfor@@": {"big": {"OriginShape": (2,), "slices": ["nothing"]}}}
    with pytest.raises(UserError, match="slices of a large array"):
        read_pdparams(dump(tmp_path / "a.pdparams", content))


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def raw(text):
    """A protocol-2 pickle of a dict whose one value is built by the given opcodes."""
    return b"\x80\x02}X\x01\x00\x00\x00a" + text + b"s."


HOSTILE = {
    "posix.system": Calls(os.system, "touch {here}"),
    "subprocess.Popen": Calls(subprocess.Popen, ["touch", "{here}"]),
    "builtins.eval": Calls(eval, "open('{here}', 'w')"),
    "builtins.exec": Calls(exec, "open('{here}', 'w')"),
    "builtins.getattr": raw(b"cbuiltins\ngetattr\n(cos\nsystem\nUname\ntR"),
    "io.open": Calls(io.open, "{here}", "w"),
    "numpy.load": Calls(np.load, "{here}"),
    "numpy.memmap": Calls(np.memmap, "{here}", "u1", "w+", 0, (3,)),
    "functools.partial": Calls(functools.partial, os.system, "touch {here}"),
    "_codecs.decode": raw(b"c_codecs\ndecode\n(Utext\nUrot13\ntR"),
    "importlib.import_module": raw(b"cimportlib\nimport_module\n(Uos\ntR"),
    "os.path.join": raw(b"cos\npath.join\n(Ua\nUb\ntR"),
    "numpy.core.multiarray._reconstruct.__globals__": raw(
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n"
    ),
    "paddle.base.core.eval": raw(b"cpaddle.base.core\neval\n(U1+1\ntR"),
    "an object outside the file": raw(b"Pfile\n"),
    "the extension": raw(b"\x82\x01"),
    "sets the state of": raw(b"ccollections\nOrderedDict\n}X\x01\x00\x00\x00bK\x01sb"),
    "not an array": {"a": [1, 2]},
    "array of dtype 'O8'": {"a": np.array([{}, None], object)},
    "a structured dtype": {"a": np.zeros(2, [("x", "f4")])},
    "array of dtype 'U4'": {"a": np.array(["text"])},
    "latin-1 text": raw(b"c_codecs\nencode\n(X\x01\x00\x00\x00xX\x05\x00\x00\x00utf-7tR"),
    "another class": raw(
        b"cnumpy.core.multiarray\n_reconstruct\n(ccollections\nOrderedDict\n(K\x00tX\x01\x00\x00\x00btR"
    ),
    "without its content": raw(b"cnumpy\nndarray\n)R"),
}


@pytest.mark.parametrize("named", HOSTILE)
def test_hostile_files_are_refused_by_name(tmp_path, named):
    here = tmp_path / "it_ran"
    content = HOSTILE[named]
    if not isinstance(content, bytes):
        content = content if isinstance(content, dict) else {"a": content}
        if isinstance(content["a"], Calls):
            function, args = content["a"].call

            def place(arg):
                if isinstance(arg, list):
                    return [place(item) for item in arg]
                return arg.replace("{here}", str(here)) if isinstance(arg, str) else arg

            content = {"a": Calls(function, *map(place, args))}
            content = pickle.dumps(content, protocol=4)
        else:
            content = pickle.dumps(content, protocol=4)
    path = tmp_path / "weights.pdparams"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_pdparams(str(path))
    text = str(caught.value)
    assert named in text and str(path) in text and "\n" not in text
    assert not here.exists()


def laughs(count=40):
    """Opcodes of a tuple of two equal tuples of two equal tuples ...: 2^count leaves."""
    return b")" + b"2\x86" * count


COSTLY = {  # what would take for ever, or all memory, if a value were looked at unchecked
    "key": b"\x80\x02}" + laughs() + b"K\x01s.",
    "outside object": b"\x80\x02" + laughs() + b"Q.",
    "dtype": raw(b"cnumpy\ndtype\n" + laughs() + b"\x85R"),
    "name": raw(b"\x8c\x02os" + laughs() + b"\x93"),
    "deep key": b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s.",
    "encoded often": b"\x80\x02](c_codecs\nencode\nq\x01X\x00\x00\x10\x00"
    + b"a" * (1 << 20)
    + b"\x85q\x020"
    + b"h\x01h\x02R" * 20_000
    + b"e.",
    "long tuples": b"\x80\x02](cbuiltins\ntuple\nq\x01]q\x03("
    + b"N" * 100_000
    + b"e\x85q\x020"
    + b"h\x01h\x02R" * 100_000
    + b"e.",
    "a set": b"\x80\x04}\x8f" + b"(K\x01\x90K\x01s.",
    "itself": b"\x80\x02]q\x00h\x00a.",
}


@pytest.mark.parametrize("name", COSTLY)
def test_reading_takes_time_by_the_length_of_the_file(tmp_path, name):
    path = tmp_path / "weights.pdparams"
    path.write_bytes(COSTLY[name])
    started = time.perf_counter()
    with pytest.raises(UserError) as caught:
        read_pdparams(path)
    assert time.perf_counter() - started < 5 and len(str(caught.value)) < 400


def test_the_same_bytes_cannot_fill_the_memory(tmp_path):
    """A hundred arrays over one string of bytes, which the file holds once."""
    state = pickle.dumps(np.zeros(1 << 18, np.float32), protocol=4)
    content = {"first": np.zeros(1 << 18, np.float32)}
    content |= {f"again{i}": content["first"] for i in range(100)}
    path = dump(tmp_path / "a.pdparams", content)
    assert path.stat().st_size < 2 * len(state)
    with pytest.raises(UserError, match="beyond the size of the file"):
        read_pdparams(path)


def test_bfloat16_is_what_paddle_stores_as_uint16(tmp_path):
    values = np.float32([1.0, -2.5, 0.15625])
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    read = read_pdparams(dump(tmp_path / "a.pdparams", {"a": bits}))
    assert read["a"].dtype == np.float32 and read["a"].tolist() == values.tolist()


def test_wider_floats_become_float32_or_are_refused(tmp_path):
    wide = {"a": np.float64([1.5, np.inf]), "b": np.longdouble([2.5])}
    read = read_pdparams(dump(tmp_path / "a.pdparams", wide))
    assert {value.dtype for value in read.values()} == {np.dtype(np.float32)}
    assert read["a"].tolist() == [1.5, np.inf] and read["b"].tolist() == [2.5]
    with pytest.raises(UserError, match="'neck.x' is an array of float64 with numbers beyond"):
        read_pdparams(dump(tmp_path / "a.pdparams", {"neck.x": np.float64([1e39])}))


def test_an_array_cannot_claim_more_than_it_holds(tmp_path):
    data = pickle.dumps({"a": np.zeros(3, np.float32)}, protocol=2)
    claimed = data.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85")
    assert claimed != data
    path = tmp_path / "a.pdparams"
    path.write_bytes(claimed)
    with pytest.raises(UserError, match="that holds 12"):
        read_pdparams(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"not a pickle", "not a .pdparams file but a text file"),
        (b"\x93\x94" * 20, "cannot be read as"),
        (pickle.dumps({"a": np.zeros(9)}, 4)[:60], "cannot be read as"),
        (pickle.dumps([1, 2], 4), "holds a list"),
        (pickle.dumps({1: np.zeros(2)}, 4), "1 is a"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    path = tmp_path / "a.pdparams"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_pdparams(str(path))


OTHERS = {
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n",
    "a web page": b"\n<!DOCTYPE html>\n<html><body>404</body></html>",
    "a PyTorch file": b"PK\x03\x04" + bytes(26) + b"archive/data.pkl" + bytes(99),
    "a PyTorch file (.pth)": pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2),
    "a zip archive": b"PK\x03\x04" + bytes(26) + b"student.pdparams" + bytes(99),
    "a .safetensors file": struct.pack("<Q", 12) + b'{"a": "b"}  ' + bytes(64),
    "(.pdiparams)": bytes(20) + struct.pack("<I", 8) + b"\x08\x05\x10\x10" + bytes(99),
    "a gzip archive": gzip.compress(b"weights"),
    "a tar archive": b"inference/".ljust(257, b"\0") + b"ustar\0" + bytes(300),
    "an ONNX file; rename it to .onnx": b"\x08\x08\x12\x0bonnx.helper" + bytes(99),
    "a text file (JSON)": b'{"weights": 1}',
    "a picture": b"\xff\xd8\xff\xe0" + bytes(99),
}


@pytest.mark.parametrize("named", OTHERS)
def test_other_files_are_said_to_be_what_they_are(tmp_path, named):
    path = tmp_path / "a.pdparams"
    path.write_bytes(OTHERS[named])
    with pytest.raises(UserError) as caught:
        read_pdparams(path)
    assert str(caught.value).startswith(f"{path}: not a .pdparams file but ")
    assert named in str(caught.value)


def test_what_is_no_plain_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.pdparams")
    for path in (tmp_path / "a.pdparams", "/dev/zero"):
        with pytest.raises(UserError, match="not a regular file"):
            read_pdparams(path)


def damaged(data, rng):
    """One of the damages that a file meets: bits, its end, a stretch that is there twice."""
    data, place = bytearray(data), rng.integers(len(data))
    match rng.integers(4):
        case 0:
            data[rng.integers(min(400, len(data)))] ^= 1 << rng.integers(8)
        case 1:
            data[-rng.integers(1, 400)] ^= 1 << rng.integers(8)
        case 2:
            del data[place:]
        case _:
            data[place:place] = data[place - 50 : place + 50]
    return bytes(data)


@pytest.mark.parametrize("protocol", [2, 4])
def test_damage_at_random_is_one_line(tmp_path, protocol):
    data = pickle.dumps({**arrays(), "StructuredToParameterName@@": {"a": "b"}}, protocol)
    rng, path, refused = np.random.default_rng(protocol), tmp_path / "a.pdparams", 0
    for _ in range(300):
        path.write_bytes(damaged(data, rng))
        try:
            read_pdparams(path)
        except UserError as error:
            refused += 1
            assert str(error).startswith(str(path)) and len(str(error)) < 500
    assert refused > 100


def test_wrong_places(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_pdparams(str(tmp_path / "nothing.pdparams"))
    for name, hint in (
        ("ch_PP-OCRv3_det_distil_train", "; did you mean ch_PP-OCRv3_det_distill_train[?]$"),
        ("ch_PP-OCRv3_det_infer.pdparams", "no such file; a program for Paddle's inference"),
        ("student", "student: there is no such file$"),
    ):
        with pytest.raises(UserError, match=hint):
            read_pdparams(name)
    with pytest.raises(UserError, match="a folder"):
        read_pdparams(str(tmp_path))
    write_pdparams(tmp_path / "latest.pdparams", arrays())
    for suffix in (".pdopt", ".states"):
        (tmp_path / f"latest{suffix}").write_bytes(b"")
        with pytest.raises(UserError, match=r"use .*latest\.pdparams"):
            read_pdparams(str(tmp_path / f"latest{suffix}"))
    with pytest.raises(UserError, match="not weights$"):
        read_pdparams(str(tmp_path / "other.pdopt"))


def test_round_trip_is_bit_exact_and_needs_no_new_names(tmp_path):
    path = tmp_path / "sub" / "weights.pdparams"
    given = {name: v for name, v in arrays().items() if v.dtype == np.float32}
    write_pdparams(path, given)
    read = read_pdparams(str(path.with_suffix("")))  # named as PaddleOCR does
    assert list(read) == list(given)
    for name, value in given.items():
        assert read[name].tobytes() == np.ascontiguousarray(value).tobytes()
        assert read[name].shape == value.shape
    assert b"numpy._core" not in path.read_bytes()
    plain = pickle.loads(path.read_bytes())
    assert plain.pop("StructuredToParameterName@@").keys() == given.keys()
    np.testing.assert_array_equal(plain["fortran"], given["fortran"])
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_pdparams(tmp_path / "file" / "a.pdparams", {})


def test_recorded_checkpoints(recorded, shared):
    expected = recorded("checkpoint/distillation_part_expected.npz")
    read = read_pdparams(shared("reference/checkpoint/distillation_part.pdparams"))
    assert set(read) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(read[name], value)
    expected = recorded("checkpoint/tiny_expected.npz")
    read = read_pdparams(shared("reference/checkpoint/tiny.pdparams"))
    for name, value in read.items():
        np.testing.assert_array_equal(value, expected[f"param/{name}"])
    with pytest.raises(UserError, match=r"tiny\.pdparams"):
        read_pdparams(shared("reference/checkpoint/tiny.pdopt"))
