"""Compiled inner loops of the ranking metrics; what they are for is told in `_ranking`.

All of them release the interpreter lock, so that Python threads run them side by side, and are kept
compiled in numba's cache. A key is a float's bits as an unsigned number that rises with it.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

DIGIT = 11
"""Bits sorted by at once."""


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled for each combination of types it is called with."""
    compiled: Callable[..., Any]
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        # Nowhere to write the cache, as in a read-only container: compiled anew in each process.
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


@jit
def split32(bits, truth, keys):
    """Keys of float32 ``bits`` (n,): positives from the front of ``keys``, negatives from its back.

    Returns the number of positives, or -1 where a score is NaN.
    """
    front, back = 0, bits.size - 1
    sign, infinity = np.uint32(0x80000000), np.uint32(0x7F800000)
    nan = False
    for i in range(bits.size):
        raw = bits[i]
        nan |= (raw & ~sign) > infinity
        # -0.0 and 0.0 are one score.
        raw = np.uint32(0) if raw == sign else raw
        key = ~raw if raw & sign else raw | sign
        if truth[i]:
            keys[front] = key
            front += 1
        else:
            keys[back] = key
            back -= 1
    return -1 if nan else front


@jit
def split64(bits, truth, keys):
    """As `split32`, of float64."""
    front, back = 0, bits.size - 1
    sign, infinity = np.uint64(0x8000000000000000), np.uint64(0x7FF0000000000000)
    nan = False
    for i in range(bits.size):
        raw = bits[i]
        nan |= (raw & ~sign) > infinity
        raw = np.uint64(0) if raw == sign else raw
        key = ~raw if raw & sign else raw | sign
        if truth[i]:
            keys[front] = key
            front += 1
        else:
            keys[back] = key
            back -= 1
    return -1 if nan else front


@jit
def radix_sort(keys, spare, digits):
    """``keys`` (n,) rising; returned is whichever of the two arrays holds them in the end."""
    size, last = keys.size, (1 << DIGIT) - 1
    places = np.empty(1 << DIGIT, np.int64)
    for d in range(digits):
        shift = DIGIT * d
        places[:] = 0
        for i in range(size):
            places[(keys[i] >> shift) & last] += 1
        if places[(keys[0] >> shift) & last] == size:
            continue
        start = 0
        for value in range(places.size):
            here = places[value]
            places[value] = start
            start += here
        for i in range(size):
            digit = (keys[i] >> shift) & last
            spare[places[digit]] = keys[i]
            places[digit] += 1
        keys, spare = spare, keys
    return keys


@jit
def walk(positives, negatives):
    """One walk down two rising lists of keys, a step for each distinct score.

    Returns twice the area under the ROC curve in pairs (whole), the average precision, the best F1
    of "at least this key" and the highest such key, and the best F1 of the opposite decision.
    """
    p, n = positives.size, negatives.size
    i, j = p, n
    twice, gained = 0, 0.0
    best, key_of_best = -1.0, np.uint64(0)
    # Flagging nothing, turned round, is flagging everything.
    inverse = 2.0 * p / (2.0 * p + n)
    while i > 0 or j > 0:
        if j == 0 or (i > 0 and positives[i - 1] >= negatives[j - 1]):
            key = positives[i - 1]
        else:
            key = negatives[j - 1]
        before, first = i, j
        while i > 0 and positives[i - 1] == key:
            i -= 1
        while j > 0 and negatives[j - 1] == key:
            j -= 1
        hits, alarms = p - i, n - j
        twice += (first - j) * (hits + p - before)
        inverse = max(inverse, 2.0 * i / (i + j + p))
        if before > i:
            gained += (before - i) * (hits / (hits + alarms))
            f1 = 2.0 * hits / (hits + alarms + p)
            if f1 > best:
                best, key_of_best = f1, np.uint64(key)
    return twice, gained / p, best, key_of_best, inverse
