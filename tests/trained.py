"""What tests marked ``trained`` say of their figures: each with its bound, so that ``benchmarks/margins.py`` can compare runs."""

from collections.abc import Callable


class Figures:
    """Asserts what a training is asked for, and leaves value and bound in the report (``--junitxml``)."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record

    def above(self, name: str, value: float, bound: float) -> None:
        self._record(name, f"{value:.6g} > {bound:.6g}")
        assert value > bound, f"{name}: {value:.6g}, expected above {bound:.6g}"

    def below(self, name: str, value: float, bound: float) -> None:
        self._record(name, f"{value:.6g} < {bound:.6g}")
        assert value < bound, f"{name}: {value:.6g}, expected below {bound:.6g}"
