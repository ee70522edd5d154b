"""Texts to features through a store, as a scikit-learn transformer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ...store import FeatureSpec, FeatureTable, ModelError, SourceError, SpecError, Store, default_name
from ...store.imported import require_encoder
from ...store.locks import one_at_a_time
from ...store.log_folder import SPEC_FILE, has_log
from ...store.scratch import scratch_folder
from ...store.texts import write_texts
from ..encode.build import build_features
from ..encode.encoder import Encoder
from . import encoders
from .columns import TextColumns

_SETTING = (
    "pooling",
    "layers",
    "max_length",
    "prefix",
    "prompt",
    "normalize",
    "dtype",
    "long_text",
    "stride",
)


class TextFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turns texts into features, each text once for all fits of a search: features are kept in a store.

    >>> make_pipeline(TextFeatures("features"), HeadClassifier()).fit(texts, labels)

    ``store`` is the folder of the feature sets, and is made if it is not there. ``features`` is the name of
    the feature set; without it the setting gives the name. A set that is there, named without a model and
    a setting, gives its own. ``model`` and what follows, up to ``device``, are those of ``enc.load_encoder``;
    the model is ``minilm`` unless named. The encoder is loaded when a text is not in the store, once in a
    process, and is never saved with the estimator. Processes that share a store wait for each other's texts.

    Texts come as a list, a NumPy array, a Series, an Arrow array, or one column of a data frame or 2-D array;
    two columns are pairs. A row without a usable text (null, NaN, or white space alone) is an error that
    names the row, or with ``on_missing="nan"`` a row of NaN. ``transform`` gives float32 [rows, width].

    ``fit`` looks at the number and names of the columns alone. After it there are ``n_features_in_``, the
    setting ``spec_``, and ``feature_set_``, the feature set's name. Raises SourceError for what are no texts,
    SpecError for token features, which are no columns, and ModelError where the model is another one than
    in ``fit``.
    """

    def __init__(
        self,
        store: str | Path = "features",
        *,
        features: str | None = None,
        model: str | Path | None = None,
        pooling: str | Sequence[str] | None = None,
        layers: str | Sequence[int] | None = None,
        max_length: int | None = None,
        prefix: str | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        dtype: str | None = None,
        long_text: str | None = None,
        stride: int | None = None,
        backend: str = "auto",
        precision: str | None = None,
        device: str | None = None,
        on_missing: str = "error",
    ):
        self.store = store
        self.features = features
        self.model = model
        self.pooling = pooling
        self.layers = layers
        self.max_length = max_length
        self.prefix = prefix
        self.prompt = prompt
        self.normalize = normalize
        self.dtype = dtype
        self.long_text = long_text
        self.stride = stride
        self.backend = backend
        self.precision = precision
        self.device = device
        self.on_missing = on_missing

    def fit(self, X: Any, y: Any = None) -> "TextFeatures":  # noqa: N803
        """Read the setting, and how many columns there are; nothing is encoded, and ``y`` is not used."""
        if self.on_missing not in ("error", "nan"):
            raise SourceError(f"unknown on_missing '{self.on_missing}'; there are error, nan")
        columns = TextColumns.of(X)
        if self._takes_setting_of_table():
            spec = FeatureTable(Store(self.store).path / str(self.features)).spec
            name = str(self.features)
        else:
            encoder = self._encoder(None)
            spec = encoder.spec
            name = self.features or default_name(spec, encoder.layer_count)
        if len(spec.shape) != 1:
            raise SpecError(
                f"features of pooling 'tokens' have shape {list(spec.shape)}, and are no columns; choose a "
                "pooling such as mean, cls or max"
            )
        self.spec_, self.feature_set_, self.n_features_in_ = spec, name, len(columns.columns)
        self.__dict__.pop("feature_names_in_", None)
        if columns.names is not None:
            self.feature_names_in_ = np.array(columns.names, object)
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Features float32 [rows, width] of texts, or pairs; those that the store lacks are encoded."""
        check_is_fitted(self, "spec_")
        columns = TextColumns.of(X)
        self._require_columns(columns)
        table = Store(self.store).create(self.feature_set_, self.spec_)
        rows = table.lookup(columns.texts, columns.pairs)
        if len(rows.without_text) and self.on_missing == "error":
            row = int(rows.without_text[0])
            raise SourceError(
                f"row {row} (counted from 0) has no usable text: it is {columns.why_unusable(row)}; leave "
                "such rows out, or pass on_missing='nan' for features of NaN"
            )
        if len(rows.missing):
            self._encode(columns.take(rows.missing), table)
            rows = table.refresh().lookup(columns.texts, columns.pairs)
        return np.asarray(rows, np.float32)

    def _encode(self, columns: TextColumns, table: FeatureTable) -> None:
        """Encode texts, all of which are usable, that the table did not have when it was last looked at."""
        require_encoder(self.spec_, "some of the texts")
        encoder = self._encoder(self.spec_)
        with scratch_folder() as folder, one_at_a_time(table.path / SPEC_FILE):
            source = write_texts(columns.texts, columns.pairs, Path(folder) / "the texts.parquet")
            build_features(source, self.store, encoder, name=self.feature_set_)

    def _takes_setting_of_table(self) -> bool:
        asked = [name for name in ("model", *_SETTING) if getattr(self, name) is not None]
        return self.features is not None and not asked and has_log(Store(self.store).path / self.features)

    def _encoder(self, spec: FeatureSpec | None) -> Encoder:
        """The encoder of the parameters, which must be that of ``spec`` where there is one."""
        options = {name: getattr(self, name) for name in ("backend", "precision", "device")}
        if self._takes_setting_of_table():
            return encoders.encoder_of(spec, options)
        given = {
            name: getattr(self, name) for name in ("model", *_SETTING) if getattr(self, name) is not None
        }
        encoder = encoders.encoder_of(None, given | options)
        if spec is not None and encoder.spec.digest != spec.digest:
            differences = "; ".join(spec.differences(encoder.spec))
            raise ModelError(f"the model is not the one that fit was given ({differences}); fit again")
        return encoder

    def _require_columns(self, columns: TextColumns) -> None:
        if len(columns.columns) != self.n_features_in_:
            raise SourceError(
                f"{len(columns.columns)} columns were given, and fit was given {self.n_features_in_}"
            )
        fitted = getattr(self, "feature_names_in_", None)
        if fitted is not None and columns.names is not None and columns.names != tuple(fitted):
            raise SourceError(
                f"the columns are {', '.join(columns.names)}, and fit was given {', '.join(fitted)}"
            )

    @property
    def _n_features_out(self) -> int:
        return self.spec_.shape[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = True
        tags.input_tags.allow_nan = self.on_missing == "nan"
        return tags
