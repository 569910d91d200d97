"""The results of embedding models and rerankers: rows of numbers, and documents in order of relevance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

from sagewire._names import NamesHelp
from sagewire.types.option_checks import check_input_type, check_option
from sagewire.types.replies import NO_INFO, ResponseInfo, Usage

if TYPE_CHECKING:
    import numpy
    import numpy.typing

InputType: TypeAlias = Literal["query", "document", "classification", "clustering"]


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """Settings of an embedding call; `None` means not set, and nothing is sent.

    Args:
        input_type: The purpose of the texts. A hint: sent if the request format has a field for it (Cohere), without
            effect elsewhere, where prefixes such as `query: ` are part of the text.
        dimensions: Ask for shorter vectors, of models trained for that.
        truncate: Cut texts that are too long (`True`) or refuse them (`False`).
        normalize: Ask for vectors of length 1.
        model: A served model name; sent only if the request format has a field for it.
        extra: Anything else, passed to the server under the name given.
    """

    input_type: InputType | None = None
    dimensions: int | None = None
    truncate: bool | None = None
    normalize: bool | None = None
    model: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.input_type is not None:
            check_input_type(self.input_type, get_args(InputType))
        for name in ("dimensions", "truncate", "normalize", "model", "extra"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check_option(name, value))


@dataclass(frozen=True, slots=True, repr=False)
class Embeddings(NamesHelp, Sequence[Sequence[float]]):
    """One vector per text, in the order of the texts; all of the same length, and all numbers finite.

    Args:
        rows: The vectors: lists of floats as JSON has them, or `array.array("f")` if the server sent raw float32
            values, which become Python objects only when they are read.
        usage: Token counts if the server reports them, else `None`.
        model: The model name the server reported.
        info: The service's facts about the response.

    Example:
        >>> embeddings = Embeddings([[0.0, 1.0], [1.0, 0.0]])
        >>> len(embeddings), embeddings.dimensions, embeddings.vectors[0]
        (2, 2, [0.0, 1.0])
        >>> embeddings
        Embeddings(2 texts x 2 dimensions)
    """

    _instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("embeddings", "data", "values", "tolist", "embedding"), "use .vectors, lists of floats"),
        **dict.fromkeys(("shape", "numpy", "to_numpy", "array", "astype"), "use .as_numpy(), an array"),
        "dim": "use .dimensions",
    }

    rows: Sequence[Sequence[float]] = ()
    usage: Usage | None = None
    model: str | None = None
    info: ResponseInfo = NO_INFO

    def __repr__(self) -> str:
        model = f", model={self.model!r}" if self.model is not None else ""
        return f"Embeddings({len(self.rows)} texts x {self.dimensions} dimensions{model})"

    @property
    def dimensions(self) -> int:
        """The length of the vectors, 0 without any."""
        return len(self.rows[0]) if self.rows else 0

    @property
    def vectors(self) -> list[list[float]]:
        """The vectors as lists of floats."""
        return [row if isinstance(row, list) else list(row) for row in self.rows]

    def as_numpy(self) -> numpy.typing.NDArray[numpy.float32]:
        """Return the vectors as one float32 array of shape (texts, dimensions).

        Raises:
            MissingExtra: numpy is not installed.
        """
        try:
            import numpy
        except ImportError:
            from sagewire.errors import MissingExtra

            raise MissingExtra("vectors as an array need numpy: pip install numpy") from None
        if not self.rows:
            return numpy.zeros((0, 0), dtype=numpy.float32)
        # From array("f") this copies memory, without a Python float for each number.
        out = numpy.empty((len(self.rows), self.dimensions), dtype=numpy.float32)
        for number, row in enumerate(self.rows):
            out[number] = row
        return out

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Sequence[float]]:
        return iter(self.rows)


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One document's position in a ranking.

    Args:
        index: The document's number in the request, counted from 0.
        score: The relevance according to the model; scales differ between models.
    """

    index: int
    score: float


# Documents that a `repr` of a ranking shows.
_SHOWN = 3


@dataclass(frozen=True, slots=True, repr=False)
class Ranking(NamesHelp, Sequence[RankedDocument]):
    """Documents by relevance, the best first.

    Args:
        results: Index and score of each document.
        usage: Token counts if the server reports them, else `None`.
        model: The model name the server reported.
        info: The service's facts about the response.
    """

    _instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("data", "documents", "scores", "ranking"), "use .results; each has .index and .score"),
    }

    results: tuple[RankedDocument, ...] = ()
    usage: Usage | None = None
    model: str | None = None
    info: ResponseInfo = NO_INFO

    def __repr__(self) -> str:
        best = ", ".join(f"document {ranked.index}: {ranked.score:.3g}" for ranked in self.results[:_SHOWN])
        return f"Ranking({best}{', ...' if len(self.results) > _SHOWN else ''})"

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def __iter__(self) -> Iterator[RankedDocument]:
        return iter(self.results)
