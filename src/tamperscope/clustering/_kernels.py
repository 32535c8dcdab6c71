"""Compiled inner loops of the exact clustering engine; what they are for is told in `engine`.

All of them release the interpreter lock, so that Python threads run them side by side, and are kept
compiled in numba's cache. Rows are numbered in the engine's own order. Distances named ``d`` or
``near`` come from matrix products in the working precision and carry an error that `allowance`
bounds; ``exact`` distances are float64 sums over the original features.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

# No `ninf`: infinite bounds mean "no bound yet" here. NaN never gets this far.
_FAST = {"nnan", "nsz", "reassoc", "arcp", "contract"}


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled for each combination of types it is called with."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": _FAST}
    compiled: Callable[..., Any]
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # Nowhere to write the cache, as in a read-only container: compiled anew in each process.
        compiled = numba.njit(**options)(function)
    return compiled


CHUNK = 16
ROWS = 8
DONE, SHORT, UNDECIDED = 0, 1, 2
"""A row's list: has told its core distance; is too short for it; was given up for all its ties."""
PAD = 1e30
"""Squared length of the rows that fill the last block: farther than anything."""


@jit
def exact(points, i, j):
    """Squared distance of two rows of the original features, in float64."""
    total = 0.0
    for c in range(points.shape[1]):
        step = np.float64(points[i, c]) - np.float64(points[j, c])
        total += step * step
    return total


@jit
def allowance(unit, drift, radius, d):
    """Largest error of a squared distance ``d`` from a product centred on a block.

    ``unit`` bounds the relative error of an inner product, ``radius`` is that of the block,
    ``drift`` what rounding the rotated coordinates can move a distance by.
    """
    root = np.sqrt(max(d, 0.0))
    reach = 2.0 * radius + root
    return unit * reach * reach + drift * (2.0 * root + drift)


@jit
def hash_rows(points, multipliers, out):
    """A 64-bit hash of each row; equal rows, 0.0 and -0.0 alike, have equal hashes."""
    for i in range(points.shape[0]):
        total = np.uint64(1469598103934665603)
        for c in range(points.shape[1]):
            value = np.float64(points[i, c]) + 0.0
            bits = np.uint64(np.float64(value).view(np.uint64))
            bits ^= bits >> np.uint64(32)
            total = (total ^ (bits * multipliers[c])) * np.uint64(1099511628211)
        out[i] = total


@jit
def recentre(source, start, count, centre, out, squares):
    """Rows ``start:start + count`` of ``source`` minus ``centre``, and their squared lengths."""
    for a in range(count):
        total = source.dtype.type(0.0)
        for c in range(source.shape[1]):
            value = source[start + a, c] - centre[c]
            out[a, c] = value
            total += value * value
        squares[a] = total


@jit
def gather(source, rows, centre, out, squares):
    """The same for any rows."""
    for a in range(rows.shape[0]):
        total = source.dtype.type(0.0)
        for c in range(source.shape[1]):
            value = source[rows[a], c] - centre[c]
            out[a, c] = value
            total += value * value
        squares[a] = total


@jit
def recentre_head(source, start, count, centre, head, out, squares):
    """Like `recentre`, but ``out`` gets the first ``head`` coordinates and the length of the rest.

    ``squares`` are those of whole rows, so that products of two such rows give a lower bound of
    their distance: the rests cannot have a larger inner product than their lengths multiplied.
    """
    for a in range(count):
        total = source.dtype.type(0.0)
        for c in range(head):
            value = source[start + a, c] - centre[c]
            out[a, c] = value
            total += value * value
        rest = source.dtype.type(0.0)
        for c in range(head, source.shape[1]):
            value = source[start + a, c] - centre[c]
            rest += value * value
        out[a, head] = np.sqrt(rest)
        squares[a] = total + rest


@jit
def small_order(g, lengths, squares, place, line, out):
    """For each row of products the ``place``-th smallest squared distance, counted from 1."""
    two = g.dtype.type(2.0)
    best = np.empty(place, g.dtype)
    columns = g.shape[1]
    for a in range(g.shape[0]):
        row = g[a]
        for b in range(columns):
            line[b] = lengths[b] - two * row[b]
        # The smallest so far, ascending; few of the rest are small enough to be put in.
        best[:] = np.sort(line[:place])
        last = best[place - 1]
        for b in range(place, columns):
            d = line[b]
            if d < last:
                t = place - 1
                while t > 0 and best[t - 1] > d:
                    best[t] = best[t - 1]
                    t -= 1
                best[t] = d
                last = best[place - 1]
        out[a] = max(last + squares[a], 0.0)


@jit
def select(values, ids, n, k):
    """Move the ``k`` smallest of ``values[:n]``, with their ids, to the front; the largest of them.

    Hoare's selection with the middle of three as the pivot.
    """
    low, high = 0, n - 1
    target = k - 1
    while low < high:
        a, b, c = values[low], values[(low + high) // 2], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                ids[i], ids[j] = ids[j], ids[i]
                i += 1
                j -= 1
        if target <= j:
            high = j
        elif target >= i:
            low = i
        else:
            break
    best = values[0]
    for i in range(1, k):
        best = max(best, values[i])
    return best


@jit
def weighted_level(values, ids, n, weight, need):
    """The smallest value up to which the weights of ``ids`` add up to ``need``; -1 if never."""
    order = np.argsort(values[:n])
    total = 0
    for a in order:
        total += weight[ids[a]]
        if total >= need:
            return np.float64(values[a])
    return -1.0


@jit
def shrink(i, near, ids, filled, bound, weight, weighted, need, unit, drift, radius):
    """Cut the list of row ``i`` back to what its bound cannot exclude, and lower the bound.

    A list that stays nearly full because too many distances are alike is given up: bound -1.
    """
    n = filled[i]
    values, names = near[i], ids[i]
    if weighted:
        level = weighted_level(values, names, n, weight, need)
        if level < 0.0:
            level = bound[i]
    elif n > need:
        level = np.float64(select(values, names, n, need))
    else:
        level = bound[i]
    limit = level + 2.25 * allowance(unit, drift, radius, level)
    if limit < bound[i]:
        bound[i] = limit
        kept = 0
        for a in range(n):
            if values[a] <= bound[i]:
                values[kept], names[kept] = values[a], names[a]
                kept += 1
        filled[i] = kept
    if filled[i] > near.shape[1] - near.shape[1] // 8:
        bound[i] = -1.0


@jit
def scan(
    g, i0, squares_i, j0, squares_j, near, ids, filled, bound, weight, weighted, needs, unit, drift,
    radii, mins, slot_i, slot_j, line, bits,
):  # fmt: skip
    """Take one tile of inner products into the neighbour lists of its rows and of its columns.

    ``g[a, b]`` is the inner product of rows ``i0 + a`` and ``j0 + b``, both minus one centre, and
    ``squares`` their squared lengths. Also notes each row's least distance to the other block in
    ``mins``. ``line`` is room for a row and ``bits`` the same memory as integers: the compiler
    makes vector code for the least of integers but not of floats, and from 0 up their order is the
    same.
    """
    rows, columns = g.shape
    two, zero, far = g.dtype.type(2.0), g.dtype.type(0.0), g.dtype.type(PAD)
    least = np.full(columns, far, g.dtype)
    slack = np.empty(columns, g.dtype)
    cell = bits[:1].copy()
    value = cell.view(g.dtype)
    others = bound[j0 : j0 + columns]
    diagonal = i0 == j0
    for top in range(0, rows, ROWS):
        slack[:] = far
        for a in range(top, top + ROWS):
            length, own, row = squares_i[a], bound[i0 + a], g[a]
            for b in range(columns):
                d = length + squares_j[b] - two * row[b]
                line[b] = d
                x = least[b]
                if d < x:
                    x = d
                least[b] = x
                w = others[b]
                if own > w:
                    w = own
                d = d - w
                y = slack[b]
                if d < y:
                    y = d
                slack[b] = y
            lowest = bits[0]
            for b in range(columns):
                lowest = min(lowest, bits[b])
            cell[0] = lowest
            mins[i0 + a, slot_j] = min(mins[i0 + a, slot_j], max(value[0], zero))
        for b in range(columns):
            if slack[b] > zero:
                continue
            j = j0 + b
            for a in range(top, top + ROWS):
                i = i0 + a
                d = max(squares_i[a] + squares_j[b] - two * g[a, b], zero)
                if d <= bound[i] and i != j:
                    n = filled[i]
                    near[i, n] = d
                    ids[i, n] = j
                    filled[i] = n + 1
                    if n + 1 == near.shape[1]:
                        shrink(
                            i, near, ids, filled, bound, weight, weighted, needs[i], unit, drift,
                            radii[i],
                        )  # fmt: skip
                if d <= bound[j] and not diagonal:
                    n = filled[j]
                    near[j, n] = d
                    ids[j, n] = i
                    filled[j] = n + 1
                    if n + 1 == near.shape[1]:
                        shrink(
                            j, near, ids, filled, bound, weight, weighted, needs[j], unit, drift,
                            radii[j],
                        )  # fmt: skip
    if not diagonal:
        for b in range(columns):
            mins[j0 + b, slot_i] = min(mins[j0 + b, slot_i], max(least[b], zero))


@jit
def survivors(
    g, i0, squares_i, j0, squares_j, bound, slack, line, bits, hits, least, lowest_rows
):  # fmt: skip
    """Pairs of a tile whose lower bound is within either's bound: how many of ``hits`` (any, 2) are
    filled with them, or -1 where there is no room for all.

    ``least`` and ``lowest_rows`` get the least lower bounds of columns and rows.
    """
    rows, columns = g.shape
    two, zero, far = g.dtype.type(2.0), g.dtype.type(0.0), g.dtype.type(PAD)
    cell = bits[:1].copy()
    value = cell.view(g.dtype)
    others = bound[j0 : j0 + columns]
    least[:] = far
    found = 0
    for top in range(0, rows, ROWS):
        slack[:] = far
        for a in range(top, top + ROWS):
            length, own, row = squares_i[a], bound[i0 + a], g[a]
            for b in range(columns):
                d = length + squares_j[b] - two * row[b]
                line[b] = d
                x = least[b]
                if d < x:
                    x = d
                least[b] = x
                w = others[b]
                if own > w:
                    w = own
                d = d - w
                y = slack[b]
                if d < y:
                    y = d
                slack[b] = y
            lowest = bits[0]
            for b in range(columns):
                lowest = min(lowest, bits[b])
            cell[0] = lowest
            lowest_rows[a] = max(value[0], zero)
        for b in range(columns):
            if slack[b] > zero:
                continue
            for a in range(top, top + ROWS):
                d = squares_i[a] + squares_j[b] - two * g[a, b]
                if d <= bound[i0 + a] or d <= others[b]:
                    if found == len(hits):
                        return -1
                    hits[found, 0] = i0 + a
                    hits[found, 1] = j0 + b
                    found += 1
    return found


@jit
def near_distance(turned, i, j):
    """Squared distance of two rows in working precision."""
    total = turned.dtype.type(0.0)
    for c in range(turned.shape[1]):
        step = turned[i, c] - turned[j, c]
        total += step * step
    return total


@jit
def take(
    hits, count, turned, diagonal, near, ids, filled, bound, weight, weighted, needs, unit, drift,
    radii, mins, i0, slot_i, j0, slot_j, least, lowest_rows,
):  # fmt: skip
    """What `scan` does for a whole tile, for the pairs that `survivors` left."""
    for at in range(count):
        i, j = hits[at, 0], hits[at, 1]
        if i == j:
            continue
        d = near_distance(turned, i, j)
        if d <= bound[i]:
            n = filled[i]
            near[i, n] = d
            ids[i, n] = j
            filled[i] = n + 1
            if n + 1 == near.shape[1]:
                shrink(
                    i, near, ids, filled, bound, weight, weighted, needs[i], unit, drift, radii[i]
                )
        if d <= bound[j] and not diagonal:
            n = filled[j]
            near[j, n] = d
            ids[j, n] = i
            filled[j] = n + 1
            if n + 1 == near.shape[1]:
                shrink(
                    j, near, ids, filled, bound, weight, weighted, needs[j], unit, drift, radii[j]
                )
    for a in range(len(lowest_rows)):
        mins[i0 + a, slot_j] = min(mins[i0 + a, slot_j], lowest_rows[a])
    if not diagonal:
        zero = least.dtype.type(0.0)
        for b in range(len(least)):
            mins[j0 + b, slot_i] = min(mins[j0 + b, slot_i], max(least[b], zero))


@jit
def scan_rows(
    g, rows, squares_i, base, j0, squares_j, n, near, ids, filled, bound, weight, weighted, needs,
    unit, drift, radii, mins, slot,
):  # fmt: skip
    """Like `scan` for some rows against one block, into the lists of the rows alone.

    The arrays of the lists begin with row ``base``, from which ``rows`` are counted.
    """
    two, zero = g.dtype.type(2.0), g.dtype.type(0.0)
    for a in range(len(rows)):
        i = rows[a]
        for b in range(min(g.shape[1], n - j0)):
            d = max(squares_i[a] + squares_j[b] - two * g[a, b], zero)
            if d < mins[i, slot]:
                mins[i, slot] = d
            if d <= bound[i] and base + i != j0 + b:
                at = filled[i]
                near[i, at] = d
                ids[i, at] = j0 + b
                filled[i] = at + 1
                if at + 1 == near.shape[1]:
                    shrink(
                        i, near, ids, filled, bound, weight, weighted, needs[i], unit, drift,
                        radii[i],
                    )  # fmt: skip


@jit
def finish(
    rows, base, k, near, ids, filled, bound, weight, weighted, needs, unit, drift, radii, points,
    core, inside, seen, state,
):  # fmt: skip
    """Exact core distances of ``rows`` from their lists.

    Writes ``core`` (the distance), ``inside`` (how many of the list, moved to its front, are within
    it), ``seen`` (every row within this squared distance is in the list), and ``state``: DONE,
    or why the list does not decide. The arrays of the lists begin with row ``base``, from which
    ``rows`` are counted.
    """
    capacity = near.shape[1]
    inner_values = np.empty(capacity, np.float64)
    copy = np.empty(capacity, near.dtype)
    names = np.empty(capacity, np.int32)
    for i in rows:
        need = k - (weight[base + i] - 1)
        state[i] = UNDECIDED
        if bound[i] < 0.0:
            continue
        radius = radii[i]
        n = filled[i]
        if weighted or n > needs[i]:
            shrink(i, near, ids, filled, bound, weight, weighted, needs[i], unit, drift, radius)
            if bound[i] < 0.0:
                bound[i] = near[i, : filled[i]].max()
            n = filled[i]
        edge = np.float64(bound[i])
        seen[i] = edge - allowance(unit, drift, radius, edge) if edge < 1e29 else np.inf
        if need <= 0:
            core[i] = 0.0
            inside[i] = 0
            state[i] = DONE
            continue
        if weighted:
            level = weighted_level(near[i], ids[i], n, weight, need)
        elif n < need:
            level = -1.0
        else:
            copy[:n] = near[i, :n]
            names[:n] = ids[i, :n]
            level = np.float64(select(copy, names, n, need))
        if level < 0.0:
            state[i] = SHORT
            continue
        slack = 2.0 * allowance(unit, drift, radius, level)
        if level + slack > edge and edge < 1e29:
            state[i] = SHORT
            continue
        # Surely inside to the front, the undecided band behind them, the rest last.
        total, front = 0, 0
        for a in range(n):
            if near[i, a] < level - slack:
                total += weight[ids[i, a]]
                near[i, a], near[i, front] = near[i, front], near[i, a]
                ids[i, a], ids[i, front] = ids[i, front], ids[i, a]
                front += 1
        middle = front
        for a in range(front, n):
            if near[i, a] <= level + slack:
                near[i, a], near[i, middle] = near[i, middle], near[i, a]
                ids[i, a], ids[i, middle] = ids[i, middle], ids[i, a]
                middle += 1
        for a in range(front, middle):
            inner_values[a] = exact(points, base + i, ids[i, a])
        order = np.argsort(inner_values[front:middle])
        square = -1.0
        for a in order:
            total += weight[ids[i, front + a]]
            square = inner_values[front + a]
            if total >= need:
                break
        last = front
        for a in range(front, middle):
            if inner_values[a] <= square:
                inner_values[a], inner_values[last] = inner_values[last], inner_values[a]
                near[i, a], near[i, last] = near[i, last], near[i, a]
                ids[i, a], ids[i, last] = ids[i, last], ids[i, a]
                last += 1
        core[i] = np.sqrt(square)
        inside[i] = last
        state[i] = DONE


@jit
def finish_slowly(rows, base, n, k, near, ids, filled, weight, points, core, inside, seen):
    """Core distances and lists of ``rows`` from the float64 distances to all ``n`` rows."""
    capacity = near.shape[1]
    values = np.empty(n, np.float64)
    for i in rows:
        for j in range(n):
            values[j] = exact(points, base + i, j)
        values[base + i] = np.inf
        need = k - (weight[base + i] - 1)
        order = np.argsort(values, kind="mergesort")
        total, square = 0, 0.0
        if need > 0:
            for a in order:
                total += weight[a]
                if total >= need:
                    square = values[a]
                    break
        kept, within = 0, 0
        for a in order:
            if kept == capacity or values[a] == np.inf:
                break
            near[i, kept] = values[a]
            ids[i, kept] = a
            kept += 1
            if need > 0 and values[a] <= square:
                within = kept
        filled[i] = kept
        core[i] = np.sqrt(square)
        inside[i] = within
        # Rows beyond the list are at least as far as its last one, ties with it included.
        seen[i] = np.inf
        if kept < n - 1:
            seen[i] = np.nextafter(values[order[kept - 1]], 0.0)


@jit
def shorten(rows, base, room, near, ids, filled, inside, seen, unit, drift, radii, to_near, to_ids):
    """Copy lists cut to ``room`` entries, those in the ball and near ones first, to the rows from
    ``base`` on of other arrays; ``filled``, ``inside`` and ``seen`` follow."""
    for i in rows:
        n = filled[i]
        if n > room:
            within = inside[i]
            if within >= room:
                level = np.float64(select(near[i], ids[i], within, room))
            elif room > within:
                level = np.float64(
                    select(near[i, within:], ids[i, within:], n - within, room - within)
                )
            inside[i] = min(within, room)
            seen[i] = min(seen[i], level - allowance(unit, drift, radii[i], level))
            filled[i] = room
        for a in range(filled[i]):
            to_near[base + i, a] = near[i, a]
            to_ids[base + i, a] = ids[i, a]


@jit
def link(start, stop, ids, inside, core, rank, parent):
    """Point each row to the one of least (core distance, rank) in its ball, or to itself."""
    for i in range(start, stop):
        best, at, name = core[i], rank[i], i
        for a in range(inside[i]):
            j = ids[i, a]
            if core[j] < best or (core[j] == best and rank[j] < at):
                best, at, name = core[j], rank[j], j
        parent[i] = name


@jit
def roots(parent, component):
    """Number the trees of ``parent`` in the order of their roots; how many there are."""
    n = parent.shape[0]
    count = 0
    for i in range(n):
        if parent[i] == i:
            component[i] = count
            count += 1
        else:
            component[i] = -1
    for i in range(n):
        r = i
        while component[r] < 0:
            r = parent[r]
        name = component[r]
        r = i
        while component[r] < 0:
            component[r] = name
            r = parent[r]
    return count


@jit
def better(w, a, b, other_w, other_a, other_b):
    """Whether edge (w, a, b) comes before another; ``a < b`` in both."""
    if w != other_w:
        return w < other_w
    if a != other_a:
        return a < other_a
    return b < other_b


@jit
def offer(c, w, i, j, rank, best, first, second):
    """Take edge (i, j) of weight ``w`` as component ``c``'s best, if it is."""
    a, b = (i, j) if rank[i] < rank[j] else (j, i)
    if w < best[c]:
        best[c], first[c], second[c] = w, a, b
    elif w == best[c] and (
        first[c] < 0 or better(w, rank[a], rank[b], w, rank[first[c]], rank[second[c]])
    ):
        first[c], second[c] = a, b


@jit
def listed(
    start, stop, ids, near, filled, inside, core, component, rank, unit, drift, radii,
    points, best, first, second,
):  # fmt: skip
    """Best edge out of every component among those in the lists."""
    for i in range(start, stop):
        own = component[i]
        radius = radii[i]
        for a in range(filled[i]):
            j = ids[i, a]
            other = component[j]
            if other == own:
                continue
            w = max(core[i], core[j])
            if w > best[own] and w > best[other]:
                continue
            if a >= inside[i]:
                limit = max(best[own], best[other])
                d = np.float64(near[i, a])
                if d - allowance(unit, drift, radius, d) > limit * limit:
                    continue
                w = max(w, np.sqrt(exact(points, i, j)))
            offer(own, w, i, j, rank, best, first, second)
            offer(other, w, i, j, rank, best, first, second)


@jit
def pairs_listed(
    start, stop, ids, near, filled, inside, core, component, rank, unit, drift, radii,
    points, best, first, second,
):  # fmt: skip
    """Best edge between every two components among those in the lists; upper triangles."""
    for i in range(start, stop):
        own = component[i]
        radius = radii[i]
        for a in range(filled[i]):
            j = ids[i, a]
            other = component[j]
            if other == own:
                continue
            p, q = (own, other) if own < other else (other, own)
            w = max(core[i], core[j])
            if w > best[p, q]:
                continue
            if a >= inside[i]:
                limit = best[p, q]
                d = np.float64(near[i, a])
                if d - allowance(unit, drift, radius, d) > limit * limit:
                    continue
                w = max(w, np.sqrt(exact(points, i, j)))
            offer(q, w, i, j, rank, best[p], first[p], second[p])


@jit
def reach(unit, drift, radius, limit, g):
    """The largest squared distance in working precision that may be ``limit`` or less in truth."""
    square = limit * limit
    return g.dtype.type(1.000001 * (square + 1.25 * allowance(unit, drift, radius, square)))


@jit
def search(
    g, rows, squares_i, j0, squares_j, core, component, rank, unit, drift, radius, points, best,
    first, second,
):  # fmt: skip
    """Best edge from each row's component into a block, given the tile of inner products."""
    columns = g.shape[1]
    two = g.dtype.type(2.0)
    far = g.dtype.type(1e30)
    for a in range(rows.shape[0]):
        i = rows[a]
        own = component[i]
        limit = best[own]
        length = squares_i[a]
        threshold = reach(unit, drift, radius, limit, g)
        for start in range(0, columns, CHUNK):
            least = far
            for b in range(start, start + CHUNK):
                least = min(least, length + squares_j[b] - two * g[a, b])
            if least > threshold:
                continue
            for b in range(start, min(start + CHUNK, columns)):
                j = j0 + b
                if j >= component.shape[0] or component[j] == own or core[j] > best[own]:
                    continue
                if length + squares_j[b] - two * g[a, b] > threshold:
                    continue
                w = max(core[i], core[j], np.sqrt(exact(points, i, j)))
                if w <= best[own]:
                    offer(own, w, i, j, rank, best, first, second)
                    threshold = reach(unit, drift, radius, best[own], g)


@jit
def nearest_outside(i, points, core, component):
    """The row of another component that row ``i`` reaches by the lightest edge: (weight, row)."""
    best, name = np.inf, -1
    for j in range(component.shape[0]):
        if component[j] == component[i]:
            continue
        w = max(core[i], core[j])
        if w < best:
            w = max(w, np.sqrt(exact(points, i, j)))
            if w < best:
                best, name = w, j
    return best, name


@jit
def nearest_inside(j, c, points, core, component):
    """The row of component ``c`` that row ``j`` reaches by the lightest edge: (weight, row)."""
    best, name = np.inf, -1
    for i in range(component.shape[0]):
        if component[i] != c:
            continue
        w = max(core[i], core[j])
        if w < best:
            w = max(w, np.sqrt(exact(points, i, j)))
            if w < best:
                best, name = w, i
    return best, name


@jit
def find(parent, a):
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = parent[a]
    return a


@jit
def linkage(edges, n, children, sizes):
    parent = np.arange(2 * n - 1)
    for e in range(n - 1):
        a, b = find(parent, edges[e, 0]), find(parent, edges[e, 1])
        node = n + e
        children[e, 0], children[e, 1] = a, b
        sizes[node] = sizes[a] + sizes[b]
        parent[a] = node
        parent[b] = node


@jit
def condense(children, sizes, weights, n, least, parents, births, counts, cluster, level):
    """Fill the arrays of `_dendrogram.CondensedTree`; the number of clusters.

    All merges at one distance count as one merge of many parts. The parts are then the same for
    every minimum spanning tree, and so is the result.
    """
    nodes = 2 * n - 1
    name = np.full(nodes, -1, np.int64)
    left_at = np.zeros(nodes, np.float64)
    fallen = np.zeros(nodes, np.bool_)
    absorbed = np.zeros(nodes, np.bool_)
    parts = np.empty(n, np.int64)
    waiting = np.empty(n, np.int64)
    name[nodes - 1] = 0
    parents[0], births[0], counts[0] = -1, 0.0, n
    found = 1
    for node in range(nodes - 1, n - 1, -1):
        if absorbed[node]:
            continue
        own = name[node]
        if fallen[node]:
            for child in children[node - n]:
                name[child], left_at[child], fallen[child] = own, left_at[node], True
            continue
        distance = weights[node - n]
        density = 1.0 / distance if distance > 0.0 else np.inf
        waiting[0] = node
        waits, many, large = 1, 0, 0
        while waits:
            waits -= 1
            for child in children[waiting[waits] - n]:
                if child >= n and weights[child - n] == distance:
                    absorbed[child] = True
                    waiting[waits] = child
                    waits += 1
                else:
                    parts[many] = child
                    many += 1
                    large += sizes[child] >= least
        for child in parts[:many]:
            name[child] = own
            if sizes[child] < least:
                left_at[child], fallen[child] = density, True
            elif large > 1:
                parents[found], births[found], counts[found] = own, density, sizes[child]
                name[child] = found
                found += 1
    for i in range(n):
        cluster[i] = name[i]
        level[i] = left_at[i]
    return found


@jit
def stability(parents, births, counts, cluster, level):
    total = np.zeros(parents.shape[0])
    for c in range(1, parents.shape[0]):
        start = births[parents[c]]
        if births[c] > start:
            total[parents[c]] += (births[c] - start) * counts[c]
    for i in range(cluster.shape[0]):
        start = births[cluster[i]]
        if level[i] > start:
            total[cluster[i]] += level[i] - start
    return total
