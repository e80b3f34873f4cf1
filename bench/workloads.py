"""The streams and rules that everything is measured on: the same seed gives the same events, to the last bit.

It is what a payment processor's detector sees: mostly payments, some log-ins, few password changes; amounts are
log-normal, cards come from a skewed distribution (a few busy ones, a long tail). Times are in whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from cep.compile import compile_rules
from cep.engine.batch import Batch
from cep.engine.state import null_words
from cep.engine.strings import Strings
from cep.lang import check_texts, load
from cep.layout.columns import TIME_SLOT
from cep.layout.program import Program

Ints = npt.NDArray[np.int64]

KINDS = ("payment", "login_ok", "login_failed", "password_change", "logout")
PAYMENT, LOGIN_OK, LOGIN_FAILED, PASSWORD_CHANGE, LOGOUT = range(len(KINDS))
SHARES = (0.70, 0.10, 0.15, 0.03, 0.02)
COUNTRIES = (
    "NL",
    "DE",
    "FR",
    "GB",
    "US",
    "ES",
    "IT",
    "PL",
    "SE",
    "NO",
    "DK",
    "FI",
    "PT",
    "BE",
    "AT",
    "CH",
    "IE",
    "CZ",
    "RO",
    "HU",
)
BEGINNING_MS = 1_700_000_000_000
CARDS = 50_000
BATCH_EVENTS = 65_536

NAMES = ("w1", "w2", "w3", "w4", "w5", "w6")
FULL_EVENTS = 2_000_000
FULL_MATCHES = {"w1": 1237, "w2": 4664, "w3": 5255, "w4": 104_026, "w5": 66_587, "w6": 80_287}
RULES = Path(__file__).parent / "rules"

_WRITE_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Events:
    """n events in order of time. kind, country: places in KINDS and COUNTRIES; card, merchant: numbers; ts in ms."""

    ts: Ints
    kind: npt.NDArray[np.int8]
    card: Ints
    amount: npt.NDArray[np.float64]
    country: npt.NDArray[np.int8]
    merchant: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ts)

    def batches(self, program: Program, strings: Strings, size: int) -> list[Batch]:
        """As the engine takes them in, decoded already."""
        return batches(program, strings, self, size)


class Decoded(Protocol):
    """A stream that can be had in batches, whose texts get their ids from `strings`."""

    def __len__(self) -> int: ...
    def batches(self, program: Program, strings: Strings, size: int) -> list[Batch]: ...


def generate(n: int, cards: int = CARDS, seed: int = 7, rate: float = 500) -> Events:
    """n events, `rate` of them in a second of event time. The order of the draws is part of the definition."""
    rng = np.random.default_rng(seed)
    ts = BEGINNING_MS + np.cumsum(rng.exponential(1000.0 / rate, n)).astype(np.int64)
    kind = rng.choice(len(KINDS), n, p=np.array(SHARES)).astype(np.int8)
    # The density goes with 1 / sqrt(card); then the busy cards are scattered over the numbers.
    card = np.minimum((cards * rng.random(n) ** 2.0).astype(np.int64), cards - 1) * 2654435761 % cards
    amount = np.round(np.exp(rng.normal(3.0, 2.0, n)), 2)
    country = rng.integers(0, len(COUNTRIES), n).astype(np.int8)
    merchant = rng.integers(0, 20_000, n).astype(np.int32)
    return Events(ts, kind, card, amount, country, merchant)


def compile_workload(name: str) -> Program:
    """The program of one of the rule files."""
    loaded = load([RULES / f"{name}.cep"])
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


def compile_many(rules: int) -> Program:
    """w2 again and again: other countries and other bounds on the payment."""
    text = "\n".join(
        f"rule w7_{r} by card within 600001ms\n  when login_failed then password_change\n"
        f'  then payment where amount > {900 + r // len(COUNTRIES)} and country == "{COUNTRIES[r % len(COUNTRIES)]}"'
        for r in range(rules)
    )
    loaded = check_texts({"schema.cep": (RULES / "schema.cep").read_text("utf-8"), "w7.cep": text})
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


# ---------------------------------------------------------------------------------------- columns


def batches(program: Program, strings: Strings, events: Events, size: int = BATCH_EVENTS) -> list[Batch]:
    """The events as the engine takes them in, decoded already; texts get their ids from `strings`."""
    kinds = {column.path[0]: column.kind for column in program.columns if column.path}
    return batch_rows(
        program, KINDS, events.kind, events.ts, lambda field: _words(field, kinds[field], strings, events), size
    )


def batch_rows(
    program: Program,
    kinds: Sequence[str],
    kind: npt.NDArray[np.int8],
    ts: Ints,
    words_of: Callable[[str], Ints],
    size: int,
) -> list[Batch]:
    """Events in batches. kind: places in `kinds`. words_of: a field of every event as words, even if its kind lacks it.

    The columns are those that the program names, so the work of decoding is done as the decoder would have done it.
    """
    places = {event.name: place for place, event in enumerate(program.events)}
    event = np.array([places[name] for name in kinds], np.int16)[kind]
    nulls = null_words(program)
    words = np.empty((len(program.columns), len(ts)), np.int64)
    words[TIME_SLOT] = ts * 1000
    for slot, column in enumerate(program.columns):
        if slot != TIME_SLOT:
            has = np.isin(np.arange(len(program.events)), column.events)[event]
            words[slot] = np.where(has, words_of(column.path[0]), nulls[slot])
    return [
        _batch(event[at : at + size], ts[at : at + size], words[:, at : at + size], at)
        for at in range(0, len(ts), size)
    ]


def _batch(event: npt.NDArray[np.int16], ts: Ints, words: Ints, first: int) -> Batch:
    n = len(event)
    seq = np.arange(first, first + n, dtype=np.int64)
    return Batch(np.zeros(n, np.int16), event, ts, seq, np.zeros(n, np.int32), np.ascontiguousarray(words))


def _words(field: str, kind: str, strings: Strings, events: Events) -> Ints:
    """A field of every event as words."""
    if kind == "number":
        assert field == "amount", f"{field} is no number"
        return events.amount.view(np.int64)
    if field == "country":
        return strings.ids(COUNTRIES)[events.country]
    assert field == "card", f"no rule has needed {field} so far"
    distinct, place = np.unique(events.card, return_inverse=True)
    return strings.ids([card_name(card) for card in distinct.tolist()])[place]


def card_name(card: int) -> str:
    """A card as rules and alerts show it."""
    return f"c{card:07d}"


# ------------------------------------------------------------------------------------------ lines


def lines(events: Events) -> Iterator[bytes]:
    """The events as lines of JSON, in blocks of some thousand lines."""
    heads = [f'{{"type":"{kind}","ts":' for kind in KINDS]
    cards = {card: f',"card":"{card_name(card)}","amount":' for card in np.unique(events.card).tolist()}
    countries = [f',"country":"{country}","merchant":"m' for country in COUNTRIES]
    for at in range(0, len(events), _WRITE_ROWS):
        rows = slice(at, at + _WRITE_ROWS)
        columns = (events.kind, events.ts, events.card, events.amount, events.country, events.merchant)
        yield "".join(
            f'{heads[kind]}{ts}{cards[card]}{amount}{countries[country]}{merchant:05d}","device":"d{card:06d}"}}\n'
            for kind, ts, card, amount, country, merchant in zip(*(c[rows].tolist() for c in columns), strict=True)
        ).encode()


def write(events: Events, file: BinaryIO) -> None:
    """The events as NDJSON."""
    file.writelines(lines(events))
