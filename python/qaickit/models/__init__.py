"""The models that come with qaickit.

    from qaickit.models import find_model
    onnx_path = find_model("digits").ensure()

`digits` and `digits-encoder` are small trained nets and lie in the package. `resnet50-shaped` and
`bert-large-shaped` have random weights, so they measure speed and nothing else; being of 102 MB and
1.3 GB they are built into a cache directory on first use.
Importing this module loads neither onnx nor numpy.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from qaickit._files import make_directory
from qaickit._text import did_you_mean
from qaickit.errors import InvalidArgumentError, NotFoundError

__all__ = ["MODELS", "ModelSpec", "cache_dir", "find_model"]


@dataclass(frozen=True)
class ModelSpec:
    """One model of the registry.

    Attributes:
        name: what users call it.
        path: its ONNX file. Where `builder` is set the file need not be there yet: `ensure` makes
            it.
        workload: the workload that scores its outputs, e.g. 'classification'.
        dataset: the dataset it is run on unless the caller names another; a name that
            `qaickit.datasets.load_dataset` takes.
        description: one line for listings.
        random_weights: True where the weights are noise. Whatever prints a result of such a model
            must say that it is a figure of speed only.
        builder: writes the file to the path given; None for a model that lies in the package.
    """

    name: str
    path: Path
    workload: str
    dataset: str
    description: str
    random_weights: bool
    builder: Callable[[Path], object] | None = field(default=None, repr=False, compare=False)

    def ensure(self) -> Path:
        """Return the path of the ONNX file, building the file first if need be.

        Raises:
            NotFoundError: the file of a packaged model is missing. A FileNotFoundError.
            QaicKitError: the file cannot be written.
        """
        if self.path.is_file():
            return self.path
        if self.builder is None:
            raise NotFoundError(
                f"model '{self.name}': expected its file at {self.path}, found none; "
                "the package is incomplete, install qaickit again"
            )
        make_directory(str(self.path.parent), "the directory of the model")
        self.builder(self.path)
        return self.path


def cache_dir() -> Path:
    """Return the directory for files built on demand; it need not exist.

    `QAICKIT_CACHE_DIR` where set, else `qaickit` under `XDG_CACHE_HOME` or `~/.cache`, or under
    `.cache` in the working directory for a user who has no home.
    """
    if own := os.environ.get("QAICKIT_CACHE_DIR"):
        return Path(own)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification says to ignore a relative path.
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            base = Path(".cache")
    return base / "qaickit"


# In the name of the cached file, so that one of an older builder is not used: raise it when
# qaickit.models.resnet comes to build another model from the same arguments.
_RESNET50_VERSION = 1


def _build_resnet50(path: Path) -> object:
    from qaickit.models.resnet import build_resnet50

    return build_resnet50(path)


# The same for qaickit.models.bert.
_BERT_VERSION = 1


def _build_bert(path: Path) -> object:
    from qaickit.models.bert import build_bert

    return build_bert(path)


_SPECS = (
    ModelSpec(
        name="digits",
        path=Path(__file__).with_name("digits") / "digits.onnx",
        workload="classification",
        dataset="digits",
        description="small convolutional net, trained on the 8x8 UCI handwritten digits",
        random_weights=False,
    ),
    ModelSpec(
        name="digits-encoder",
        path=Path(__file__).with_name("digits_encoder") / "encoder.onnx",
        workload="classification",
        dataset="digits",
        description="small transformer encoder, trained on the same digits",
        random_weights=False,
    ),
    ModelSpec(
        name="resnet50-shaped",
        path=cache_dir() / "models" / f"resnet50-shaped-v{_RESNET50_VERSION}.onnx",
        workload="classification",
        dataset="random",
        description="ResNet-50 v1.5 in shape, random weights: measures speed only",
        random_weights=True,
        builder=_build_resnet50,
    ),
    ModelSpec(
        name="bert-large-shaped",
        path=cache_dir() / "models" / f"bert-large-shaped-v{_BERT_VERSION}.onnx",
        workload="raw",
        dataset="random",
        description="BERT-large for 384 tokens in shape, random weights: measures speed only",
        random_weights=True,
        builder=_build_bert,
    ),
)

MODELS: dict[str, ModelSpec] = {spec.name: spec for spec in _SPECS}
"""Every model by name. The cache directory in a path is the one at the time of import."""


def find_model(name: str) -> ModelSpec:
    """Return the model called `name`. Builds nothing: call `ensure` on the answer for its file.

    Raises:
        InvalidArgumentError: there is none; the message lists the names known and the nearest. A
            ValueError.
    """
    if name in MODELS:
        return MODELS[name]
    raise InvalidArgumentError(
        f"model '{name}': not known; expected one of {', '.join(MODELS)}"
        f"{did_you_mean(name, MODELS)}"
    )
