"""The matching rule: one set of parameters that covers how the five papers compare two descriptors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from occlureid.errors import DataError

Metric = Literal["cosine", "euclidean"]
Visibility = Literal["soft", "binary", "ignore"]
Form = Literal["mean", "sum"]


@dataclass(frozen=True, slots=True)
class MatchRule:
    r"""How far apart two images are, from what both of them show.

    With w_k = v_k^q v_k^g, gamma = ``global_weight``, beta = ``part_factor``, and cosine similarities s:

        form "mean":  distance = 1 - (gamma s(Gq, Gg) + beta sum_k w_k s(Pq_k, Pg_k)) / (gamma + sum_k w_k)
        form "sum":   distance = gamma + beta K - (gamma (1 + s(Gq, Gg))/2 + beta sum_k w_k (1 + s(Pq_k, Pg_k))/2)

    With beta = 1, "mean" is the weighted mean of the cosine distances 1 - s (PGFA Eq. 8, SORN Eq. 15). For the Euclidean
    metric "mean" is the same weighted mean of ||Gq - Gg|| and ||Pq_k - Pg_k|| (SGAM Eq. 4). beta = 1/2 is HCGA Eq. 10;
    "sum" is what HCGA's released code computes, kept to reproduce it: it favours pairs that share many parts.

    With ``spatial_weight`` lambda > 0, and x the local vectors with saliency S (GASM Eq. 4):

        distance = (1 - lambda) distance + lambda sum_t (S_t^q / sum S^q) min_u (1 - s(x_t^q, x_u^g))

    A location of saliency 0 does not exist, neither among t nor among u; the two maps may differ in size.

    A pair with nothing to compare (gamma = 0 and no shared part, or an image without any location) has distance infinity.

    Attributes:
        metric: "cosine" or "euclidean" for the global and part vectors.
        visibility: "soft" uses v as it is; "binary" uses [v >= threshold]; "ignore" takes every part as visible (an ablation).
        threshold: of "binary" visibility, in (0, 1].
        global_weight: gamma, at least 0; 0 matches by parts only.
        part_factor: beta, at least 0; 0 matches by the global vector only, and then the parts leave the denominator too.
        form: "mean" or "sum".
        spatial_weight: lambda in [0, 1].
    """

    metric: Metric = "cosine"
    visibility: Visibility = "binary"
    threshold: float = 0.5
    global_weight: float = 1.0
    part_factor: float = 1.0
    form: Form = "mean"
    spatial_weight: float = 0.0

    def __post_init__(self) -> None:
        choices = {
            "metric": ("cosine", "euclidean"),
            "visibility": ("soft", "binary", "ignore"),
            "form": ("mean", "sum"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise DataError(f"rule.{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        numbers = ("threshold", "global_weight", "part_factor", "spatial_weight")
        for name in numbers:
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), int | float):
                raise DataError(f"rule.{name} must be a number, got {getattr(self, name)!r}")
        if not 0 < self.threshold <= 1:
            raise DataError(f"rule.threshold must lie in (0, 1], got {self.threshold}")
        if not (0 <= self.global_weight < float("inf") and 0 <= self.part_factor < float("inf")):
            raise DataError(
                f"rule weights must be finite and not negative, got {self.global_weight} and {self.part_factor}"
            )
        if not 0 <= self.spatial_weight <= 1:
            raise DataError(f"rule.spatial_weight must lie in [0, 1], got {self.spatial_weight}")
        if self.global_weight == 0 and self.part_factor == 0 and self.spatial_weight < 1:
            raise DataError("a rule must compare something: global_weight and part_factor are both 0")
        if self.metric == "euclidean" and (self.form == "sum" or self.part_factor not in (0, 1)):
            raise DataError('a Euclidean rule has form "mean" and part_factor 0 or 1')

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> MatchRule:
        """The inverse of ``to_json``.

        Raises:
            DataError: the record has unknown keys or values.
        """
        try:
            return cls(**record)
        except TypeError as error:
            raise DataError(f"not a matching rule ({error}): {record}") from error
