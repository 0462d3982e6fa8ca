"""What a set costs: seconds, USD and bytes, before it is drawn and after.

The formulas are those behind Table 5 and section 3.1 of arXiv:2307.13697: a price an hour times the hours that a
thousand images take.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ex2.data.datasets.set_records import SetRecord

SECONDS_AN_HOUR = 3600.0
ORIGINAL_USD = 0.012
"""USD for an image that people label: arXiv:2307.13697, Table 1."""


@dataclass(frozen=True)
class Cost:
    """What some images cost.

    Attributes:
        images: Their number; of requests without an image the seconds count, and nothing else.
        seconds: Time that drawing takes; None if it is not known.
        usd: Price; None if it is not known.
        bytes: Size of the files; None if it is not known.
    """

    images: int
    seconds: float | None
    usd: float | None
    bytes: int | None

    def __add__(self, other: Cost) -> Cost:
        """Return the cost of both; what is not known of one is not known of both."""
        return Cost(
            self.images + other.images,
            _sum(self.seconds, other.seconds),
            _sum(self.usd, other.usd),
            None if self.bytes is None or other.bytes is None else self.bytes + other.bytes,
        )


NOTHING = Cost(0, 0.0, 0.0, 0)


def usd_for_time(seconds: float, usd_per_hour: float) -> float:
    """Return the price of a machine for some time."""
    return seconds / SECONDS_AN_HOUR * usd_per_hour


def usd_an_image(usd_per_hour: float, hours_per_1000: float) -> float:
    """Return the price of an image, given the hours that a thousand take."""
    return usd_per_hour * hours_per_1000 / 1000


def images_for_shots(classes: int, shots: int) -> int:
    """Return the number of images that give each class `shots`."""
    return classes * shots


def planned(
    images: int,
    *,
    seconds_an_image: float | None = None,
    usd_per_hour: float | None = None,
    usd_an_image: float | None = None,
    bytes_an_image: float | None = None,
) -> Cost:
    """Return what images will cost.

    Args:
        images: Their number.
        seconds_an_image: Time that one takes, as measured on some.
        usd_per_hour: Price of the machine.
        usd_an_image: Price of an image besides the machine's time, as that of a label.
        bytes_an_image: Size of one.
    """
    seconds = None if seconds_an_image is None else images * seconds_an_image
    machine = None if seconds is None or usd_per_hour is None else usd_for_time(seconds, usd_per_hour)
    bought = None if usd_an_image is None else images * usd_an_image
    usd = machine if bought is None else bought + (machine or 0.0)
    return Cost(images, seconds, usd, None if bytes_an_image is None else round(images * bytes_an_image))


def measured(record: SetRecord, *, usd_an_image: float | None = None) -> Cost:
    """Return what a finished set has cost.

    Args:
        record: Of the set.
        usd_an_image: Price of an image besides the machine's time.
    """
    machine = None if record.usd_per_hour is None else usd_for_time(record.seconds, record.usd_per_hour)
    bought = None if usd_an_image is None else record.made * usd_an_image
    usd = machine if bought is None else bought + (machine or 0.0)
    return Cost(record.made, record.seconds, usd, record.bytes)


def total(costs: Iterable[Cost]) -> Cost:
    """Return the cost of all."""
    return sum(costs, NOTHING)


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second
