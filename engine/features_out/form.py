"""In which form features are written: parts, element type, and columns."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...store import FeatureSpec, SourceError, SpecError
from ...store.lookup import NOWHERE
from ...store.mapped import MappedFeatures
from ...store.nearest import unknown
from ...store.parts import select_parts
from ...store.setting import DTYPES

LAYOUTS = ("list", "columns")
MAX_COLUMNS = 4096  # readers open every column of a file, and its footer names all of them in each row group


@dataclass(frozen=True)
class Form:
    """How the features of a row are written.

    In tables they are one column ``features`` of fixed-size lists, the last axis of tokens' features the
    fastest; or with the layout ``columns`` one column for each number: ``features_0`` and so on.
    """

    spec: FeatureSpec
    """Setting of the features as they are served: of the parts that are used."""
    dtype: str
    layout: str = "list"
    column_prefix: str = ""
    """Put before the names of the columns."""

    @classmethod
    def of(
        cls,
        stored: FeatureSpec,
        *,
        use: FeatureSpec | str | None = None,
        dtype: str | None = None,
        layout: str = "list",
        column_prefix: str = "",
    ) -> "Form":
        """The form of a feature set's features.

        ``use`` are parts of them, such as ``layers=9-12,pooling=mean``. Unless ``dtype`` is given it is as
        stored, and float32 for ``columns``: Arrow tables with columns of float16 are more than XGBoost and
        LightGBM take. Raises SpecError for parts that are not there, and for what cannot be written so.
        """
        if isinstance(use, FeatureSpec):
            stored.slices(use)  # which raises for what is no part
        spec = select_parts(stored, use) if isinstance(use, str) else use or stored
        if layout not in LAYOUTS:
            raise SpecError(unknown("layout", layout, LAYOUTS))
        if dtype not in (None, *DTYPES):
            raise SpecError(unknown("dtype", dtype, DTYPES))
        width = math.prod(spec.shape)
        if layout == "columns" and width > MAX_COLUMNS:
            raise SpecError(
                f"features of {width:,} numbers would be as many columns, and {MAX_COLUMNS:,} is the most; "
                "leave out --layout columns, or take a part of them with --use"
            )
        return cls(spec, dtype or ("float32" if layout == "columns" else spec.dtype), layout, column_prefix)

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return math.prod(self.spec.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's features as they are written."""
        return self.width * DTYPES[self.dtype]

    def fields(self) -> list[pa.Field]:
        """The columns of a table.

        The metadata of a list tells the shape of a row's features, and the setting they were made with.
        """
        number = pa.float16() if self.dtype == "float16" else pa.float32()
        name = f"{self.column_prefix}features"
        if self.layout == "columns":
            return [pa.field(f"{name}_{i}", number) for i in range(self.width)]
        metadata = {"shape": json.dumps(list(self.spec.shape)), "setting": self.spec.to_json()}
        element = pa.field("element", number, nullable=False)
        return [pa.field(name, pa.list_(element, self.width), metadata=metadata)]

    def columns(self, features: MappedFeatures, locations: np.ndarray) -> list[pa.Array]:
        """The columns of rows by their locations int64 [n]; null where there are no features."""
        usable = locations != NOWHERE
        if usable.all():
            values, absent = self.values(features, locations), None
        else:
            values = np.zeros((len(locations), *self.spec.shape), self.dtype)
            values[usable] = self.values(features, locations[usable])
            absent = pa.array(~usable)
        values = values.reshape(len(locations), self.width)
        fields = self.fields() if self.layout == "list" else []
        if fields:
            kind = fields[0].type
            numbers = pa.Array.from_buffers(kind.value_type, values.size, [None, pa.py_buffer(values)])
            return [pa.FixedSizeListArray.from_arrays(numbers, type=kind, mask=absent)]
        mask = None if absent is None else ~usable
        return [pa.array(column, mask=mask) for column in np.ascontiguousarray(values.T)]

    def values(self, features: MappedFeatures, locations: np.ndarray) -> np.ndarray:
        """Features [n, *shape] of locations that all have some, in the form's element type.

        Raises SpecError for a number that the element type cannot hold.
        """
        values = features.take(locations)
        if self.dtype == self.spec.dtype:
            return values
        with np.errstate(over="ignore"):
            cast = values.astype(self.dtype)
        if not np.isfinite(cast).all():
            raise SpecError(
                "the features have numbers that are too large for float16; write them with --dtype float32"
            )
        return cast


def require_columns(form: Form, format: str, columns: list[str] | None) -> None:
    """Raise SourceError for options that a format without columns cannot follow."""
    if columns:
        raise SourceError(
            f"a .{format} file holds numbers alone, and no columns of the input; leave out --columns, or "
            "write .parquet or .arrow"
        )
    if form.layout == "columns":
        raise SourceError(
            f"--layout columns is for .parquet and .arrow; a .{format} file is an array with a column for "
            "each number already"
        )
