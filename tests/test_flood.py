"""Keys that were chosen so that they hash alike do not, where the seed is not the one that they were chosen for."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from cep.adapters.cli.detector import build
from cep.alerting import Alerting
from cep.compile import compile_rules
from cep.decoding.vocabulary import Vocabulary
from cep.detector import RuleDetector
from cep.engine.snapshot import Freezer, load
from cep.kernels import cells as ck
from cep.kernels import scan as sk
from cep.kernels.keys import HASH, SEED, KeySpace
from cep.lang import check_texts
from cep.ports import Entries, EntryId

KEYS = 1000
RULES = """stream s time ts
event e from s (k integer)
rule r by k within 1h
  when 2 e as p
  alert high "{k}"
"""
WORD = 2**64 - 1
STEPS = (0xBF58476D1CE4E5B9, 27), (0x94D049BB133111EB, 31)  # of the hash of one word


def word_with(hashed: int) -> int:
    """The number whose hash, before its last shift and without a seed, this is: the steps, backwards."""
    for factor, shift in reversed(STEPS):
        found = hashed
        for _ in range(64 // shift):
            found = hashed ^ (found >> shift)
        hashed = found * pow(factor, -1, 2**64) & WORD
    return hashed ^ 0x9E3779B97F4A7C15


def evil_keys() -> list[int]:
    """Numbers whose hashes end alike, so that they all want one place."""
    found = (word_with(n << 30 | 5) for n in range(4 * KEYS))
    return [word for word in found if word < 2**63][:KEYS]


def fed(seed: int, keys: list[int]) -> RuleDetector:
    loaded = check_texts({"rules.cep": RULES})
    assert loaded.ruleset is not None
    program = compile_rules(loaded.ruleset)
    detector = RuleDetector(program, Alerting(program).render, Freezer().freeze, load, seed=seed)
    feed(detector, keys, 1)
    return detector


def feed(detector: RuleDetector, keys: list[int], first: int) -> list[bytes]:
    entries = [
        (EntryId(0, n), [b"event", b'{"ts": %d, "k": %d}' % (1767607361000 + n, key)])
        for n, key in enumerate(keys, first)
    ]
    outcome = detector.apply([Entries.of(0, entries)])
    assert outcome.events == len(keys)
    return outcome.alerts


def key_space(detector: RuleDetector) -> KeySpace:
    keys: KeySpace = detector.state.shards[0].plans[0].keys
    return keys


def longest_way(keys: KeySpace) -> int:
    """How far the key that stands furthest from its place is from it."""
    places = np.flatnonzero(keys.table >= 0)
    homes = keys.slots[keys.table[places], HASH] & (len(keys.table) - 1)
    return int(((places - homes) % len(keys.table)).max())


def test_keys_that_hash_alike_do_so_for_one_seed_alone() -> None:
    evil = evil_keys()
    assert len(set(evil)) == KEYS
    assert longest_way(key_space(fed(0, evil))) == KEYS - 1, "they would be chosen wrongly"
    rng = random.Random(1)
    for seed in [rng.getrandbits(63) for _ in range(5)]:
        assert longest_way(key_space(fed(seed, evil))) < 50


def test_the_seed_changes_no_alert_and_is_kept_with_the_keys() -> None:
    keys = [n % 300 * 7919 for n in range(KEYS)]
    plain, seeded = fed(0, keys), fed(4711, keys)
    restored = fed(815, [])
    with seeded.freeze() as data:
        restored.load(bytes(data))
    assert key_space(restored).count[SEED] == 4711, "the keys in it stand by that"
    further = [n * 7919 for n in range(400)]
    alerts = feed(plain, further, KEYS + 1)
    assert alerts
    assert feed(seeded, further, KEYS + 1) == alerts
    assert feed(restored, further, KEYS + 1) == alerts


def test_a_detector_of_the_service_has_a_seed_that_nobody_knows() -> None:
    loaded = check_texts({"rules.cep": RULES})
    assert loaded.ruleset is not None
    seeds = {int(key_space(build(loaded.ruleset)[1]).count[SEED]) for _ in range(3)}
    assert len(seeds) == 3
    assert 0 not in seeds


def learnt(spelled: list[bytes]) -> Vocabulary:
    """A vocabulary that has met some texts, which stand for 0, 1, …."""
    data = np.frombuffer(b"".join(spelled) + bytes(16), np.uint8)
    count, ends = len(spelled), np.cumsum([len(text) for text in spelled])
    cells = np.zeros((count, 1, 3), np.int32)
    cells[:, 0, sk.WHAT] = sk.TEXT
    cells[:, 0, sk.BEGIN], cells[:, 0, sk.END] = ends - [len(text) for text in spelled], ends
    words, number = np.zeros(count, np.int64), itertools.count()
    vocabulary = Vocabulary(lambda texts: [next(number) for _ in texts])
    vocabulary.words(data, cells, 0, np.arange(count), words, np.zeros(count, np.bool_))
    assert words.tolist() == list(range(count))
    return vocabulary


@pytest.mark.parametrize("count", [100, 3000])
def test_texts_stand_elsewhere_in_every_vocabulary(count: int) -> None:
    spelled = [b"text %d" % n for n in range(count)]
    assert learnt(spelled)._texts.table.tolist() != learnt(spelled)._texts.table.tolist()


ALIKE = {  # texts that a weaker hash would put into one place, whatever its seed
    "numbered": [b"c%07d" % n for n in range(3000)],
    "halves that change together": [b"c%03d" % n + b"d%03d" % n for n in range(1000)],
    "long and alike at the end": [b"%016d" % n + b"x" * 40 for n in range(1000)],
}


@pytest.mark.parametrize("kind", ALIKE)
def test_texts_that_resemble_each_other_stand_apart(kind: str) -> None:
    texts = learnt(ALIKE[kind])._texts
    places, mask = np.flatnonzero(texts.table >= 0), len(texts.table) - 1
    hashes = np.array([text_hash(text, texts.count[ck.SECRET :]) for text in ALIKE[kind]])
    homes = hashes[texts.table[places]] & mask
    assert ((places - homes) % len(texts.table)).max() < 60


def text_hash(text: bytes, key: npt.NDArray[np.int64]) -> int:
    """The hash of one text."""
    data = np.frombuffer(text + bytes(8), np.uint8)
    words, cells = np.zeros(1, np.int64), np.array([[[0, len(text), sk.TEXT]]], np.int32)
    ck.hashes(data, cells, 0, np.arange(1), words, np.zeros(1, np.bool_), False, key)
    return int(words[0])


@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this Python hashes texts otherwise")
def test_the_hash_of_texts_is_that_of_python() -> None:
    spelled = [b"payment"[:n] * 3 for n in range(1, 8)] + [bytes(range(65, 65 + n)) for n in (7, 8, 9, 15, 16, 17)]
    code = f"print([hash(text) for text in {spelled!r}])"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "0"}, capture_output=True, check=True)
    theirs = [number % 2**64 >> 1 for number in json.loads(done.stdout)]
    assert [text_hash(text, np.zeros(2, np.int64)) for text in spelled] == theirs
