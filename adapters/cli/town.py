"""An invented town for the demo: its payments, transfers and sessions, with frauds planted among them.

The same seed and rate give the same events. Time runs `SPEED` times as fast as ours, so that what takes an hour is seen
in seconds. Who commits a fraud does nothing else, so that each can be counted as found or not.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

SPEED = 1200
BEGINNING_MS = 1_767_600_000_000  # 2026-01-05, 8 o'clock
MINUTE_MS = 60_000
FRAUD_EVERY_MS = 24 * MINUTE_MS

PEOPLE_PER_RATE = 10  # so that everyone pays now and then, whatever the rate
MERCHANTS = 300
PLACES = {  # where people live
    "NL": (52.37, 4.90),
    "DE": (52.52, 13.40),
    "FR": (48.86, 2.35),
    "ES": (40.42, -3.70),
    "IT": (41.90, 12.50),
    "PL": (52.23, 21.01),
}
ABROAD = {"BR": (-23.55, -46.63), "VN": (10.82, 106.63), "US": (40.71, -74.01)}

Fields = dict[str, str | float | bool]


class Event(NamedTuple):
    """An event of a stream; `serial` keeps the order of events at one moment."""

    at_ms: int
    serial: int
    stream: str
    kind: str
    fields: Fields

    def to_json(self) -> bytes:
        """The event as it is sent."""
        return orjson.dumps({"ts": self.at_ms, "kind": self.kind, **self.fields})


class Fraud(NamedTuple):
    """A fraud: the rule that should find it, the first part of the key of its alert, and when it is complete."""

    rule: str
    key: str
    done_ms: int


Act = tuple[float, str, str, Fields]  # minutes after the beginning, stream, kind, fields
Plot = Callable[["Town", str], tuple[str, list[Act]]]


@dataclass
class Town:
    """Its people, and what they will have done. `planted` grows while `events` runs."""

    rate: int
    seed: int
    planted: list[Fraud] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._people = PEOPLE_PER_RATE * self.rate
        self._recent: deque[Fields] = deque(maxlen=1000)
        self._serial = 0

    def events(self) -> Iterator[Event]:
        """What happens, without end, in order of time."""
        waiting: list[Event] = []
        now_ms, step_ms = float(BEGINNING_MS), 1000 * SPEED / self.rate
        next_fraud_ms = BEGINNING_MS + FRAUD_EVERY_MS / 2
        while True:
            if now_ms >= next_fraud_ms:
                for event in self._plant(int(now_ms)):
                    heapq.heappush(waiting, event)
                next_fraud_ms += FRAUD_EVERY_MS
            if waiting and waiting[0].at_ms <= now_ms:
                yield heapq.heappop(waiting)
            else:
                yield self._everyday(int(now_ms))
            now_ms += step_ms

    def _event(self, at_ms: int, stream: str, kind: str, fields: Fields) -> Event:
        self._serial += 1
        return Event(at_ms, self._serial, stream, kind, fields)

    def _plant(self, now_ms: int) -> list[Event]:
        """The next fraud in turn."""
        rule, plot = PLOTS[len(self.planted) % len(PLOTS)]
        key, acts = plot(self, f"{self._people + len(self.planted)}")
        events = [self._event(now_ms + int(act[0] * MINUTE_MS), *act[1:]) for act in acts]
        self.planted.append(Fraud(rule, key, max(event.at_ms for event in events)))
        return events

    def _everyday(self, now_ms: int) -> Event:
        """Something ordinary; it is reported up to three seconds after it happened."""
        at_ms = now_ms - self.random.randrange(3000)
        chance = self.random.random()
        if chance < 0.005 and self._recent:
            bought = self._recent.popleft()
            return self._event(
                at_ms, "payments", "refund", {k: bought[k] for k in ("card", "user", "amount", "merchant")}
            )
        if chance < 0.85:
            payment = self._payment()
            if payment["status"] == "approved":
                self._recent.append(payment)
            return self._event(at_ms, "payments", "payment", payment)
        if chance < 0.93:
            payer, payee = self.random.sample(range(self._people), 2)
            amount = round(self.random.uniform(10, 900), 2)
            return self._event(at_ms, "ledger", "transfer", transfer(f"a{payer}", f"a{payee}", amount))
        return self._event(at_ms, "sessions", "sign_in", sign_in(f"u{self.random.randrange(self._people)}"))

    def _payment(self) -> Fields:
        """Everyone has a sum that they usually spend, and rarely leaves their country."""
        person = self.random.randrange(self._people)
        amount = (10 + person % 50) * self.random.uniform(0.5, 2)
        country = home(person) if self.random.random() < 0.98 else "FR"
        status = "approved" if self.random.random() < 0.97 else "declined"
        return payment(f"{person}", amount, country, self.merchant(), status)

    def merchant(self) -> str:
        """Somewhere to pay."""
        return f"shop-{self.random.randrange(MERCHANTS)}"


def home(person: int) -> str:
    """The country of a person."""
    return list(PLACES)[person % len(PLACES)]


def payment(person: str, amount: float, country: str, merchant: str, status: str = "approved") -> Fields:
    """A card payment."""
    fields: Fields = {"card": f"c{person}", "user": f"u{person}", "amount": round(amount, 2), "country": country}
    return fields | {"merchant": merchant, "status": status}


def transfer(payer: str, payee: str, amount: float) -> Fields:
    """Money from account to account."""
    return {"from_account": payer, "to_account": payee, "amount": amount}


def sign_in(user: str, country: str | None = None, new_device: bool = False) -> Fields:
    """Where a user signs in; at home if nothing else is said."""
    country = country or home(int(user[1:]))
    lat, lon = (PLACES | ABROAD)[country]
    return {"user": user, "ip": "203.0.113.7", "country": country, "lat": lat, "lon": lon, "new_device": new_device}


# Each plot gives the key of the alert that it should cause, and what happens.


def _card_testing(town: Town, who: str) -> tuple[str, list[Act]]:
    tried = [
        (n / 4, "payments", "payment", payment(who, 1 + n / 2, "NL", town.merchant(), "declined")) for n in range(6)
    ]
    return f"c{who}", [*tried, (3, "payments", "payment", payment(who, 620, "BR", town.merchant()))]


def _velocity(town: Town, who: str) -> tuple[str, list[Act]]:
    return f"c{who}", [(2 * n, "payments", "payment", payment(who, 40 + n, "NL", town.merchant())) for n in range(9)]


def _around_the_world(town: Town, who: str) -> tuple[str, list[Act]]:
    countries = ("NL", "US", "VN")
    acts = enumerate(countries)
    return f"c{who}", [(15 * n, "payments", "payment", payment(who, 80, c, town.merchant())) for n, c in acts]


def _takeover(town: Town, who: str) -> tuple[str, list[Act]]:
    user = f"u{who}"
    return user, [
        (0, "sessions", "sign_in", sign_in(user, "VN", new_device=True)),
        (9, "sessions", "credential_change", {"user": user, "what": "password"}),
        (40, "sessions", "payout", {"user": user, "amount": 2400.0, "new_payee": True}),
    ]


def _travel(town: Town, who: str) -> tuple[str, list[Act]]:
    user = f"u{who}"
    return user, [(0, "sessions", "sign_in", sign_in(user)), (35, "sessions", "sign_in", sign_in(user, "US"))]


def _structuring(town: Town, who: str) -> tuple[str, list[Act]]:
    deposit: Fields = {"account": f"a{who}", "amount": 9200.0, "branch": "b1"}
    return f"a{who}", [(20 * n, "ledger", "cash_deposit", deposit) for n in range(3)]


def _mule(town: Town, who: str) -> tuple[str, list[Act]]:
    mule = f"a{who}"
    into, out = transfer("a-victim", mule, 4800.0), transfer(mule, f"a{who}-abroad", 4400.0)
    return mule, [(0, "ledger", "transfer", into), (25, "ledger", "transfer", out)]


def _spender(town: Town, who: str) -> tuple[str, list[Act]]:
    # A fortnight's usual payments would take too long to watch: they come in three hours here.
    usual: list[Act] = [(18 * n, "payments", "payment", payment(who, 30, "NL", town.merchant())) for n in range(10)]
    return f"u{who}", [*usual, (185, "payments", "payment", payment(who, 990, "NL", town.merchant()))]


def _refund(town: Town, who: str) -> tuple[str, list[Act]]:
    fields: Fields = {"card": f"c{who}", "user": f"u{who}", "amount": 180.0, "merchant": town.merchant()}
    return f"c{who}", [(0, "payments", "refund", fields)]


PLOTS: list[tuple[str, Plot]] = [
    ("big_spender", _spender),
    ("card_testing", _card_testing),
    ("account_takeover", _takeover),
    ("velocity", _velocity),
    ("impossible_travel", _travel),
    ("mule_in_out", _mule),
    ("card_around_the_world", _around_the_world),
    ("structuring", _structuring),
    ("refund_without_purchase", _refund),
]
