"""Published numbers as data, each table with its source and with what it can be compared to.

Row keys are the names of our rules and systems where we have them, so that ``tables.beside`` can
put a measured value into the same row. Scores of segmentation are percentages unless the table says
otherwise; None: not reported.
"""

from stremn.report.papers.amm import (
    AMM_DAVIS16,
    AMM_DAVIS17,
    AMM_INDEX,
    AMM_REGULARISED,
    AMM_REGULARISED_YOUTUBE,
    AMM_SPEED,
    AMM_YOUTUBE,
)
from stremn.report.papers.stm import STM_RULES, STM_TRAINING
from stremn.report.papers.stremn import (
    DAVIS17,
    FUSION,
    PREDICTION,
    RULES,
    SEQUENCES,
    SLOTS,
    YOUTUBE_VOS,
)
from stremn.report.papers.table import PaperTable

TABLES: dict[str, PaperTable] = {
    "stremn-1": RULES,
    "stremn-2": SLOTS,
    "stremn-3": DAVIS17,
    "stremn-4": YOUTUBE_VOS,
    "stremn-5": PREDICTION,
    "stremn-6": FUSION,
    "stremn-earlier-11": SEQUENCES,
    "stm-4": STM_TRAINING,
    "stm-5": STM_RULES,
    "amm-1-2016": AMM_DAVIS16,
    "amm-1-2017": AMM_DAVIS17,
    "amm-2": AMM_YOUTUBE,
    "amm-3": AMM_SPEED,
    "amm-4": AMM_INDEX,
    "amm-5": AMM_REGULARISED,
    "amm-6": AMM_REGULARISED_YOUTUBE,
}

__all__ = [
    "AMM_DAVIS16",
    "AMM_DAVIS17",
    "AMM_INDEX",
    "AMM_REGULARISED",
    "AMM_REGULARISED_YOUTUBE",
    "AMM_SPEED",
    "AMM_YOUTUBE",
    "DAVIS17",
    "FUSION",
    "PREDICTION",
    "RULES",
    "SEQUENCES",
    "SLOTS",
    "STM_RULES",
    "STM_TRAINING",
    "TABLES",
    "YOUTUBE_VOS",
    "PaperTable",
]
