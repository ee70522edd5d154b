"""What a worker is told: a build in full, as JSON, so that any process can do a share of it."""

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...store import FeatureSpec, Source, Store, WorkerError, default_name
from ...store.progress import Progress
from ...store.share import Share
from ..backends.load import load_encoder_of
from ..encode.build import BuildSummary, build_features
from ..encode.encoder import Encoder


@dataclass(frozen=True)
class BuildJob:
    """A build of a source, of which each worker does a share."""

    source: Source
    store: str
    name: str
    """Of the feature set."""
    spec: str
    """The setting as JSON, with the digests of the model's files."""
    model: str
    backend: str
    precision: str | None
    device: str | None
    tokens_per_batch: int | None
    commit_seconds: float | None
    folder: str
    """The current folder, to which the names of files are relative."""
    version: str
    """Of enc."""

    @classmethod
    def of(
        cls,
        source: Source,
        store: Store | str | Path,
        encoder: Encoder,
        *,
        name: str | None = None,
        model: str | Path | None = None,
        backend: str = "auto",
        precision: str | None = None,
        device: str | None = None,
        tokens_per_batch: int | None = None,
        commit_seconds: float | None = None,
    ) -> "BuildJob":
        """The job of building ``source`` with such an encoder; ``model`` is its folder, if that has moved."""
        spec = encoder.spec
        return cls(
            source,
            str(Store(store)),
            name or default_name(spec, encoder.layer_count),
            spec.to_json(),
            str(model or spec.model),
            backend,
            precision,
            device,
            tokens_per_batch,
            commit_seconds,
            os.getcwd(),
            version("enc-features"),
        )

    def to_json(self) -> str:
        """The job as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "BuildJob":
        """The job of :meth:`to_json`. Raises WorkerError where another enc wrote it."""
        fields: dict[str, Any] = json.loads(text)
        here, there = version("enc-features"), fields.get("version")
        if here != there:
            raise WorkerError(
                f"enc {here} is installed where the worker runs, and enc {there} started the build; install "
                "the same version in both places"
            )
        return cls(**{**fields, "source": Source(**fields["source"])})

    def build(
        self,
        share: Share,
        *,
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
        load: Callable[..., Encoder] = load_encoder_of,
    ) -> BuildSummary:
        """Build a share, in this process. Raises ModelError where the model here is another one."""
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise WorkerError(
                f"the worker cannot see the folder '{self.folder}', in which the build was started; start it "
                "in a folder that all machines share"
            ) from error
        encoder = load(
            FeatureSpec.from_json(self.spec),
            model=self.model,
            backend=self.backend,
            precision=self.precision,
            device=self.device,
            say=say,
        )
        summary = build_features(
            self.source,
            self.store,
            encoder,
            name=self.name,
            share=share,
            tokens_per_batch=self.tokens_per_batch,
            commit_seconds=self.commit_seconds,
            progress=progress,
        )
        if say and (explained := encoder.explain()):
            say(f"chose {explained}")
        return summary
