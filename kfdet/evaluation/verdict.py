"""The gate: is this detector good enough to be served?"""

from __future__ import annotations

from dataclasses import dataclass

from kfdet.evaluation.truth import ENOUGH_BOXES, Truth
from kfdet.parameters import Gate

TOO_WIDE = 0.2
"""An interval of AP50 that is at least so wide, with the limit in it, says nothing about it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the gate opens, and for each check in words why or why not.

    Args:
        reaches_limits: Whether what was measured is within the limits.
        reasons: One for each check.
        promoted: Whether the comparison with another model allows it.
    """

    reaches_limits: bool
    reasons: list[str]
    promoted: bool = True

    @property
    def good(self) -> bool:
        """Whether the gate opens."""
        return self.reaches_limits and self.promoted

    def and_promoted(self, promoted: bool, reason: str) -> Verdict:
        """The verdict after the comparison with another model."""
        return Verdict(self.reaches_limits, [*self.reasons, reason], promoted)


def judge(
    gate: Gate,
    *,
    ap50: float | None,
    recall: float | None,
    false_positives_per_background_image: float | None,
    truth: Truth | None = None,
) -> Verdict:
    """Hold the measured values against the gate; a value that could not be measured fails it.

    So does too little truth, where it leaves open whether a limit is reached.

    Args:
        gate: The limits.
        ap50: As measured.
        recall: As measured.
        false_positives_per_background_image: As measured.
        truth: What it was measured on; None: enough.
    """
    checks = [
        _at_least("AP50", ap50, gate.min_ap50, "--min-ap50"),
        _enough(truth, gate) if truth else None,
        _at_least("Recall", recall, gate.min_recall, "--min-recall"),
    ]
    most = gate.max_false_positives
    if most > 0:
        found = false_positives_per_background_image
        name = "False detections per frame without objects"
        if found is None:
            checks.append(
                (False, f"{name} could not be measured: every evaluation frame has an object.")
            )
        else:
            good = found <= most
            relation = "within" if good else "above"
            limit = f"{relation} the allowed {most:g} (--max-false-positives)"
            checks.append((good, f"{name}: {found:.3f}, {limit}."))
    made = [check for check in checks if check is not None]
    if not made:
        return Verdict(True, ["No limit was set."])
    return Verdict(all(good for good, _ in made), [reason for _, reason in made])


def _at_least(name: str, found: float | None, least: float, option: str) -> tuple[bool, str] | None:
    if least <= 0:
        return None
    if found is None:
        return False, f"{name} could not be measured: no evaluation frame has a box."
    good = found >= least
    relation = "at or above" if good else "below"
    return good, f"{name} is {found:.3f}, {relation} the required {least:g} ({option})."


def _enough(truth: Truth, gate: Gate) -> tuple[bool, str] | None:
    """Whether the truth decides; None where it does, or is not asked."""
    if gate.min_ap50 <= 0 and gate.min_recall <= 0:
        return None
    if truth.boxes < ENOUGH_BOXES:
        number = "1 box is" if truth.boxes == 1 else f"{truth.boxes} boxes are"
        return False, (
            f"Too little truth for a verdict: {number} drawn by a person on the frames that were "
            f"measured, {ENOUGH_BOXES} are needed.{_what_to_draw(truth)}"
        )
    if truth.AP50_interval is None or truth.width is None:
        return None
    low, high = truth.AP50_interval
    if truth.width >= TOO_WIDE and low < gate.min_ap50 <= high:
        return False, (
            f"Too little truth for a verdict: AP50 lies between {low:.2f} and {high:.2f}, on both "
            f"sides of the required {gate.min_ap50:g}.{_what_to_draw(truth)}"
        )
    return None


def _what_to_draw(truth: Truth) -> str:
    """A sentence that names the frames; "" where there are none."""
    if not truth.draw:
        return ""
    frames: dict[str, list[str]] = {}
    for one in truth.draw:
        frames.setdefault(one.video, []).append(str(one.frame))
    places = "; ".join(f"{video}: {', '.join(numbers)}" for video, numbers in frames.items())
    return f" Draw every object on these frames, and run again: {places}."
