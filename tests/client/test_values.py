"""What goes through description and buffers comes out equal, of the same type, and writable."""

import datetime as dt
import decimal
import math
import zoneinfo

import matplotlib
import numpy as np
import pandas as pd
import PIL.Image
import polars as pl
import pyarrow as pa
import pytest
import torch

from homie_core.client.values import Figure, Untrusted, read
from homie_core.runner.values import MAX_DEPTH, NotData, describe

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def there_and_back(value, **options):
    description, buffers = describe("x", value)
    return read(description, [bytearray(buffer) for buffer in buffers], **options)


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


PLAIN = [
    None,
    True,
    0,
    -1,
    2**63 - 1,
    2**63,
    -(2**5000),
    0.0,
    -0.0,
    0.1,
    1e308,
    5e-324,
    float("inf"),
    float("-inf"),
    1 + 2j,
    complex("-inf+0j"),
    "",
    "Grüße, 世界, 🎉",
    "\ud800 alone, \x00, \u202e",
    b"",
    b"\x00\xff" * 1000,
    bytearray(b"changeable"),
    decimal.Decimal("0.10"),
    decimal.Decimal("-Infinity"),
    decimal.Decimal("1E+999"),
    dt.date(2024, 2, 29),
    dt.time(1, 2, 3, 4),
    dt.time(1, 2, tzinfo=dt.UTC),
    dt.datetime(1, 1, 1),
    dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45))),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "mine")),
    dt.timedelta(days=-1, microseconds=1),
    dt.timezone(dt.timedelta(seconds=1)),
    BERLIN,
    [],
    (),
    {},
    set(),
    frozenset(),
    [1, [2, (3, {4: [5, "6"]}, {7})]],
    {"ключ": 1, None: 2, (1, "x"): [b"y"], 1.5: {}, True: False},
    {frozenset({1}), (), "x"},
    {"is": "pickle", "at": 0},
    nested(MAX_DEPTH),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_values(value):
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)
    if "{" not in repr(value) or isinstance(value, dict):  # sets have no order
        assert repr(back) == repr(value), "also -0.0, the order of a dict, fold, and the zone's name"


def test_numbers_that_are_none():
    assert math.isnan(there_and_back(float("nan")))
    assert there_and_back(decimal.Decimal("NaN")).is_nan()
    assert math.isnan(there_and_back({"a": [float("nan")]})["a"][0])


ARRAYS = [
    np.arange(6.0),
    np.arange(6).reshape(2, 3),
    np.arange(6).reshape(2, 3).T,
    np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    np.arange(10)[::-2],
    np.broadcast_to(np.float32(3), (2, 2)),
    np.array(7, dtype="u1"),
    np.zeros((0, 3)),
    np.zeros((2, 0), dtype="M8[s]"),
    np.array([1, np.nan, np.inf, -0.0]),
    np.array(["2024-02-29", "NaT"], dtype="M8[D]"),
    np.array([1, "NaT"], dtype="m8[25us]"),
    np.array(["ü🎉", ""]),
    np.array([b"x", b"yz"]),
    np.array([1 + 1j], dtype="c8"),
    np.array([1.5], dtype="f2"),
    np.array([1.5], dtype=np.longdouble),
    np.array([1, 2], dtype=">i4"),
    np.array([True, False]),
    np.array([(1, 2.5, "x")], dtype=[("a", "i4"), ("ключ", "f8"), ("c", "U3")]),
    np.ones(2, dtype=[("a", "i1"), ("b", [("c", "i2", (2,))], (1,))]),
    np.zeros(2, dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    np.zeros(3, dtype="V5"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays(array):
    back = there_and_back(array)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.flags.writeable
    assert back.flags.f_contiguous or not array.flags.f_contiguous, "the order of memory stays"


def test_an_array_that_cannot_be_written_comes_back_and_can():
    array = np.arange(3)
    array.flags.writeable = False
    back = there_and_back(array)
    back[0] = 9
    assert list(back) == [9, 1, 2]
    description, buffers = describe("x", array)
    back = read(description, [bytes(buffer) for buffer in buffers])
    back[0] = 9
    assert array[0] == 0


def test_a_large_array_is_not_copied():
    array = np.zeros(1_000_000)
    description, (buffer,) = describe("x", array)
    assert np.shares_memory(np.frombuffer(buffer), array)
    held = bytearray(buffer)
    assert np.shares_memory(read(description, [held]), np.frombuffer(held))


@pytest.mark.parametrize(
    "scalar", [np.float32(1.5), np.int8(-1), np.bool_(True), np.datetime64("NaT"), np.str_("x")]
)
def test_scalars_of_numpy(scalar):
    back = there_and_back([scalar])[0]
    assert type(back) is type(scalar)
    assert np.array_equal(np.asarray(back), np.asarray(scalar), equal_nan=scalar.dtype.kind in "fM")


FRAMES = {
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="i4")}),
    "mixed": pd.DataFrame(
        {
            "int": [1, 2],
            "float": [1.5, np.nan],
            "text": ["ü", None],
            "bool": [True, False],
            "time": pd.to_datetime(["2024-02-29", None]),
            "zoned": pd.to_datetime(["2024-02-29", None]).tz_localize("Europe/Berlin"),
            "span": pd.to_timedelta([1, None], unit="s"),
            "category": pd.Categorical(["a", None], categories=["b", "a"], ordered=True),
            "nullable": pd.array([1, None], dtype="Int32"),
            "lists": [[1, 2], None],
            "nothing": [None, None],
            "period": pd.period_range("2024-01", periods=2, freq="M"),
            "decimal": [decimal.Decimal("1.50"), None],
            "date": [dt.date(2024, 1, 1), None],
            "bytes": [b"x", None],
        },
        index=pd.Index(["one", "zwei ü"], name="key"),
    ),
    "levels": pd.DataFrame(
        [[1, 2], [3, 4]],
        index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None]),
        columns=pd.MultiIndex.from_tuples([("p", "q"), ("p", "r")]),
    ),
    "numbered columns": pd.DataFrame(np.arange(6.0).reshape(2, 3)),
    "stepped": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(4, 8, 2)),
    "times as index": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2024", periods=2, tz="UTC")),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_of_pandas(name):
    frame = FRAMES[name]
    back = there_and_back(frame)
    pd.testing.assert_frame_equal(back, frame, check_freq=False)
    for column in range(frame.shape[1]):
        if len(frame):
            back.iloc[0, column] = back.iloc[1, column]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, 2], name="n"),
        pd.Series([1.5], name=("a", 1), index=["x"]),
        pd.Series(["x", None]),
        pd.Series([], dtype="f8"),
    ],
    ids=str,
)
def test_series_of_pandas(series):
    pd.testing.assert_series_equal(there_and_back(series), series)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(3),
        pd.Index(["a", "b"], name="n"),
        pd.MultiIndex.from_product([["a"], [1, 2]]),
        pd.date_range("2024", periods=2),
    ],
    ids=lambda index: type(index).__name__,
)
def test_indexes_of_pandas(index):
    pd.testing.assert_index_equal(there_and_back(index), index, check_freq=False)


@pytest.mark.parametrize(
    "moment",
    [
        pd.Timestamp("2024-02-29 01:02:03.123456789"),
        pd.Timestamp("2024-10-27 01:30", tz="UTC").tz_convert("Europe/Berlin"),
        pd.Timestamp("1600-01-01").as_unit("s"),
        pd.Timedelta("-1 days 00:00:00.000000001"),
    ],
    ids=str,
)
def test_moments_of_pandas(moment):
    back = there_and_back(moment)
    assert back == moment
    assert (type(back), back.unit, str(back)) == (type(moment), moment.unit, str(moment))


def test_nothing_of_pandas():
    assert there_and_back(pd.NaT) is pd.NaT
    assert there_and_back([pd.NA])[0] is pd.NA


TABLE = pa.table(
    {
        "a": [1, None],
        "b": ["x", "ü"],
        "c": pa.array(["p", "p"]).dictionary_encode(),
        "d": [{"e": [1.5]}, None],
        "f": pa.array([None, None]),
    }
)


def test_tables_of_arrow():
    assert there_and_back(TABLE).equals(TABLE)
    assert there_and_back(TABLE.slice(1)).equals(TABLE.slice(1))
    (batch,) = TABLE.to_batches()
    assert there_and_back(batch).equals(batch)
    nothing = TABLE.schema.empty_table()
    assert there_and_back(nothing).equals(nothing)


def test_frames_of_polars():
    frame = pl.DataFrame(
        {
            "a": [1, None],
            "b": ["x", "ü"],
            "c": [[1], []],
            "d": [dt.date(2024, 1, 1), None],
            "e": [float("nan"), 1.0],
        }
    )
    assert there_and_back(frame).equals(frame)
    assert there_and_back(frame["b"]).equals(frame["b"])
    assert there_and_back(pl.DataFrame()).equals(pl.DataFrame())


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).reshape(2, 3).T,
        torch.tensor(3),
        torch.zeros(0, 2),
        torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.tensor([1 + 2j]).conj(),
        torch.nn.Parameter(torch.ones(2)),
        torch.zeros(2, dtype=torch.float8_e5m2),
    ],
    ids=lambda tensor: f"{tensor.dtype}{tuple(tensor.shape)}",
)
def test_tensors(tensor):
    back = there_and_back(tensor)
    assert back.dtype == tensor.dtype
    assert back.shape == tensor.shape
    assert torch.equal(*(each.detach().to(torch.complex128).nan_to_num(7) for each in (back, tensor)))
    if back.numel():
        back.view(-1)[0] = 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "I;16"])
@pytest.mark.parametrize("size", [(5, 3), (0, 0)])
def test_pictures(mode, size):
    picture = PIL.Image.new("RGB", size, (10, 200, 30))
    picture = PIL.Image.new(mode, size, 7) if mode in ("I", "F", "I;16") else picture.convert(mode)
    back = there_and_back(picture)
    assert (back.mode, back.size, back.tobytes()) == (mode, size, picture.tobytes())
    if mode == "P":
        assert back.getpalette() == picture.getpalette()


def test_figures_come_back_as_their_picture(tmp_path):
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure = pyplot.figure()
    figure.add_subplot().plot([1, 3, 2])
    back = there_and_back(figure)
    pyplot.close(figure)
    assert isinstance(back, Figure)
    back.save(tmp_path / "figure.png")
    with PIL.Image.open(tmp_path / "figure.png") as picture:
        assert repr(back) == f"<Figure of {picture.width} x {picture.height} pixels>"
        assert picture.width > 300
    assert back._repr_png_() == back.png


class Own:
    pass


def itself():
    value = []
    value.append({"in": value})
    return value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Own(), r"x: a value of type test_values.Own is no data"),
        ({"a": [Own()]}, r"x\['a'\]\[0\]: a value of type test_values.Own is no data"),
        ({Own(): 1}, r"a key of x: a value of type test_values.Own"),
        ({1, print}, r"a member of x: a value of type builtin_function_or_method"),
        (itself(), r"x\[0\]\['in'\]: it contains itself"),
        (nested(MAX_DEPTH + 1), "nested deeper than 100"),
        (np.array([None]), "array of Python objects"),
        (np.ma.array([1]), "a value of type numpy.MaskedArray"),
        (np.array(["x"], dtype=np.dtypes.StringDType()), "of type StringDType"),
        (pd.DataFrame({"a": [Own()]}), "Arrow cannot hold it"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "Arrow cannot hold it"),
        (pl.DataFrame({"a": [Own()]}), "Python objects"),
        (torch.zeros(2).to_sparse(), "sparse"),
        (lambda: 0, "a value of type function is no data"),
        (math, "a value of type module is no data"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_data_is_refused_by_its_place(value, why):
    with pytest.raises(NotData, match=why):
        describe("x", value)


def test_a_pickle_is_read_only_of_who_is_trusted():
    description, buffers = describe("x", [dt.tzinfo, np.ma.array(np.arange(3), mask=[0, 1, 0])], pickles=True)
    with pytest.raises(Untrusted):
        read(description, buffers)
    kind, masked = read(description, buffers, pickles=True)
    assert kind is dt.tzinfo
    assert masked.sum() == 2


def test_what_cannot_even_be_pickled_says_so():
    generators = [(n for n in [])]
    with pytest.raises(NotData, match=r"x\[0\]: a value of type generator cannot even be pickled: TypeError"):
        describe("x", generators, pickles=True)
