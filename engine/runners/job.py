"""What a worker is told: a build in full, as JSON, so that any process can do a share of it."""

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...store import FeatureSpec, Source, Store, default_name
from ...store.first_pass import FirstPass
from ...store.progress import Progress
from ...store.share import Share
from ..backends.load import load_encoder_of
from ..encode.build import BuildSummary, build_features
from ..encode.encoder import Encoder
from .task import require_version


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
        require_version(fields.get("version"))
        return cls(**{**fields, "source": Source(**fields["source"])})

    def build(
        self,
        share: Share,
        *,
        first_pass: FirstPass | None = None,
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
        load: Callable[..., Encoder] = load_encoder_of,
    ) -> BuildSummary:
        """Build a share, in this process. Raises ModelError where the model here is another one."""
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
            first_pass=first_pass,
            tokens_per_batch=self.tokens_per_batch,
            commit_seconds=self.commit_seconds,
            progress=progress,
        )
        if say and (explained := encoder.explain()):
            say(f"chose {explained}")
        return summary


@dataclass(frozen=True)
class BuildShare:
    """The task of building a share (:class:`.task.Task`), whose result is a BuildSummary as a dict."""

    job: BuildJob
    share: Share
    first_pass: FirstPass | None = None
    """What holds the source's texts; without it, the worker reads the source."""

    @property
    def folder(self) -> str:
        """The current folder of who started the build."""
        return self.job.folder

    @property
    def title(self) -> str:
        """The share, such as ``3/8``."""
        return str(self.share)

    @property
    def device(self) -> str | None:
        """The device that was asked for."""
        return self.job.device

    def on_device(self, device: str) -> "BuildShare":
        """The same share on one of several GPUs."""
        return replace(self, job=replace(self.job, device=device))

    def to_json(self) -> str:
        """The task as one line of JSON."""
        first_pass = dataclasses.asdict(self.first_pass) if self.first_pass else None
        told = {"job": self.job.to_json(), "share": str(self.share), "first_pass": first_pass}
        return json.dumps(told, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "BuildShare":
        """The task of :meth:`to_json`. Raises WorkerError where another enc wrote it."""
        fields: dict[str, Any] = json.loads(text)
        first_pass = FirstPass(**fields["first_pass"]) if fields["first_pass"] else None
        return cls(BuildJob.from_json(fields["job"]), Share.parse(fields["share"]), first_pass)

    def run(self, *, progress: Progress | None, say: Callable[[str], None] | None) -> dict[str, Any]:
        """Build the share; the encoder is that of the last task, if it had the same."""
        summary = self.job.build(
            self.share, first_pass=self.first_pass, progress=progress, say=say, load=kept_encoder
        )
        return dataclasses.asdict(summary)


_kept: list[tuple[tuple[Any, ...], Encoder]] = []


def kept_encoder(spec: FeatureSpec, *, say: Callable[[str], None] | None = None, **asked: Any) -> Encoder:
    """As :func:`enc.engine.backends.load.load_encoder_of`, but the encoder that this process loaded last is
    loaded once: a worker takes one task after the other.
    """
    key = (os.getcwd(), spec.digest, *sorted(asked.items()))
    if not _kept or _kept[0][0] != key:
        _kept[:] = [(key, load_encoder_of(spec, say=say, **asked))]
    return _kept[0][1]
