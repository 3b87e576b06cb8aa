"""Arrow arrays without pandas."""

import numpy as np
import pyarrow as pa
import pytest

from kdrun.data.arrow_arrays import numbers, strings, to_numpy
from tests.helpers import forked


@pytest.mark.parametrize("values", [[], ["a"], ["", "ä€", "b c", ""]])
def test_strings_are_those_of_pyarrow(values: list[str]) -> None:
    assert strings(values).equals(pa.array(values, pa.string()))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.float32])
def test_numbers_are_those_of_pyarrow(dtype: type) -> None:
    for values in (np.arange(7, dtype=dtype), np.arange(8, dtype=dtype)[::3], np.zeros(0, dtype)):
        assert numbers(values).equals(pa.array(values))


@pytest.mark.parametrize(
    "values", [[3, 1, 2], [0.5, 2.5], [True, False, True], ["a", "b"], [1.5, None], [], [True, None]]
)
def test_values_are_those_of_pyarrow(values: list[object]) -> None:
    whole = pa.array(values, pa.float64() if not values else None)
    for array in (whole, whole[1:]):
        assert np.array_equal(to_numpy(array), array.to_numpy(zero_copy_only=False), equal_nan=False) or None in values
        chunked = pa.chunked_array([array, array, array[:0]])
        expected, computed = chunked.to_numpy(), to_numpy(chunked)
        assert expected.dtype == computed.dtype
        assert [str(value) for value in expected] == [str(value) for value in computed]


def test_half_of_a_surrogate_pair_is_no_string() -> None:
    with pytest.raises(UnicodeEncodeError):
        strings(["\ud800"])


def test_embedded_rows_are_read_without_pandas() -> None:
    code = (
        "import sys, numpy as np; from kdrun.config import compose; from kdrun.data import run_data; "
        "data = run_data.load_run_data(compose.load_config(['method=kd', 'data.max_train_rows=50'])); "
        "assert data.train.num_rows == 50; sys.exit('pandas' in sys.modules)"
    )
    assert forked.without_torch().run(code).returncode == 0
