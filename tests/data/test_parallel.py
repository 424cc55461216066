import pytest

from edgekd.data.parallel import for_each_row
from edgekd.errors import DataError


def test_first_error_counts_the_others():
    def fail(row: int) -> None:
        if row % 2:
            raise DataError(f"row {row} is bad", where=f"row {row}", fix="mend it")

    with pytest.raises(DataError) as error:
        for_each_row(fail, 12, description="x")
    assert error.value.what == "row 1 is bad (5 more: row 3, row 5, row 7, ...)"
    assert error.value.fix == "mend it"
