"""The paper's claims, each with what was found here: the answer that the report begins with.

An order of rules or systems is established over several trainings only: one training is one draw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stremn.evaluation.bootstrap import Interval
from stremn.evaluation.runs import find
from stremn.report.report_tables import Results

HOLDS, FAILS, OPEN = "holds", "does not hold", "not established here"
ONE = "one training: order not established"
CONSTANT = 1.1  # ratio of late to early cost up to which it counts as constant
RIVALS = {
    "oldest": "removing the oldest",
    "newest": "removing the newest",
    "random_drop": "random drop",
    "random_select": "random select",
    "first_and_previous": "first and latest",
    "most_similar": "dropping the most similar",
}


@dataclass(frozen=True)
class Claim:
    """What a paper says, and what was found.

    Attributes:
        text: the claim, with its place in the paper.
        verdict: ``HOLDS``, ``FAILS`` or ``OPEN``.
        found: the figure behind it, with its 95 % interval.
        section: where its table stands, the beginning of a heading.
    """

    text: str
    verdict: str
    found: str
    section: str


def rule_claims(r: Results, over_seeds: Mapping[str, Interval]) -> list[Claim]:
    """Tables 1 to 3 and 6 of STReMN: the learned rule beside its rivals, numbers of slots, several scales, fusion.

    Args:
        over_seeds: how far each rule lies behind the learned one, averaged over trainings; empty: one training.
    """
    rules = "Segmentation: update rules"
    claims = []
    for policy, words in RIVALS.items():
        name = r.rule(policy)
        if name is not None:
            gap = over_seeds.get(policy) or _gap(r, name)
            text = f"The learned rule is better than {words} (Table 1)"
            claims.append(_ordered(text, gap, several=policy in over_seeds, section=rules))
    if (name := r.rule("every_n")) is not None:
        gap, several = over_seeds.get("every_n") or _gap(r, name), "every_n" in over_seeds
        text = "With a fixed memory it is as good as STM, whose memory grows (Table 3)"
        claims.append(Claim(text, _as_good(gap) if several else OPEN, _shown(gap, several), rules))
    sizes = {k: name for k in range(2, 12) if (name := r.learned(k)) is not None}
    if len(sizes) > 1:
        means = {k: 100 * r.scores[name]["interval"]["J&F"]["mean"] for k, name in sizes.items()}
        found = ", ".join(f"{k}: {mean:.1f}" for k, mean in means.items())
        text = "Six slots are best: more do not help (Table 2)"
        claims.append(Claim(text, OPEN, f"J&F by slots {found}; {ONE}", rules))
    more = {
        "Several scales are better than one (Table 3)": next(
            (n for n, run in r.runs.items() if run.scales != [1.0] and run.network == r.network), None
        ),
        "Fusing what is removed is better than dropping it (Table 6)": find(
            r.runs, network="stremn-fusion", policy=None, slots=r.slots
        ),
    }
    for text, name in more.items():
        if name is not None:
            gap = _gap(r, name)
            turned = Interval(-gap.mean, -gap.high, -gap.low, gap.objects)
            claims.append(_ordered(text, turned, several=False, section="Segmentation: systems"))
    return claims


def prediction_claims(systems: Mapping[str, Mapping[str, float | None]]) -> list[Claim]:
    """Table 5 of STReMN. systems: system → metric → value."""
    ssim = {name: value for name, row in systems.items() if (value := row.get("SSIM")) is not None}
    rivals = [name for name in ("convlstm", "predrnn") if name in ssim]
    if "stremn" not in ssim or not rivals:
        return []
    found = ", ".join(f"{name} {ssim[name]:.3f}" for name in ("stremn", *rivals))
    text = "It predicts video better than ConvLSTM and PredRNN (Table 5)"
    return [Claim(text, OPEN, f"SSIM {found}; {ONE}", "Video prediction")]


def cost_claims(growth: Mapping[str, float], slots: int) -> list[Claim]:
    """Supplementary Sec. 1. growth: of ``cost.json``; slots: K of the measured learned rule."""
    text, section = "Memory and time stay constant however long the video is (suppl. Sec. 1)", "Cost against"
    held = growth.get("learned.slots")
    if held is None:
        return []
    ratios = {
        what: growth.get(f"learned.{key}_ratio") for what, key in (("time", "time"), ("memory", "resident"))
    }
    found = [f"{what} ×{value:.2f}" for what, value in ratios.items() if value is not None]
    if "every_n.time_ratio" in growth:
        found.append(f"STM's time ×{growth['every_n.time_ratio']:.2f}")
    measured = [value for value in ratios.values() if value is not None]
    constant = held <= slots and all(value <= CONSTANT for value in measured)
    verdict = (HOLDS if constant else FAILS) if measured or held > slots else OPEN
    return [Claim(text, verdict, "; ".join([f"{held:.0f} slots at the end", *found]), section)]


def _gap(r: Results, name: str) -> Interval:
    """How far a run lies behind the learned rule, as the evaluation stored it."""
    return Interval(**r.scores[name]["interval"]["behind"])


def _ordered(text: str, gap: Interval, *, several: bool, section: str) -> Claim:
    verdict = OPEN
    if several and gap.low > 0:
        verdict = HOLDS
    elif several and gap.high < 0:
        verdict = FAILS
    return Claim(text, verdict, _shown(gap, several), section)


def _as_good(gap: Interval) -> str:
    """The other's gap behind the learned rule: below zero the learned rule is worse."""
    return FAILS if gap.high < 0 else (HOLDS if gap.low > 0 else OPEN)


def _shown(gap: Interval, several: bool) -> str:
    figure = f"{100 * gap.mean:+.1f} J&F ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
    return figure if several else f"{figure}; {ONE}"


def counted(claims: Sequence[Claim]) -> str:
    """How many claims have which verdict, in a sentence."""
    numbers = [(word, sum(claim.verdict == word for claim in claims)) for word in (HOLDS, FAILS, OPEN)]
    return ", ".join(f"{number} {word}" for word, number in numbers if number) + "."
