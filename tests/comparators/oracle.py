"""Judging the slow way: everything in canonical form before anything is compared, every residue through deepdiff.

What `judge` must agree with. It shares the canonical form, the schemas and the reading of replies with it, and none of
what makes it fast: no bytes instead of values, no record read late or left unread, no shortcut past deepdiff.
"""

from collections import Counter
from typing import NamedTuple

import msgspec
from deepdiff import DeepDiff

from comparators import ABSENT, Difference, Judgement, Kind, Severity, Verdict
from comparators.canonical import Unjudgeable, canonical, encoded
from comparators.lines import within_fences
from comparators.paths import below, item, member
from comparators.registry import entry_of
from comparators.replies import _compare_texts
from comparators.residue import _OPTIONS, _tamed, leaf_difference

NODES = 3_000
BLANKS = (None, {})


def judge(operation, legacy, enhanced, call=None, context=()):
    """Judge two returned JSON values."""
    slow = _Slow(operation, call, context)
    sides = legacy, enhanced
    if is_equal(*sides, of=sides) or is_equal(*map(slow.shallow, sides), of=sides):
        return Judgement(Verdict.MATCH)
    try:
        return slow.judge(legacy, enhanced)
    except Unjudgeable as unjudgeable:
        return Judgement(Verdict.INCONCLUSIVE, reason=unjudgeable.reason)


class Lists(NamedTuple):
    path: str
    legacy: list
    enhanced: list
    left: list  # contents of legacy's items
    right: list
    pairs: list
    lost: list
    added: list


class _Slow:
    def __init__(self, operation, call, context):
        self.family = operation.partition(".")[0]
        self.schema = entry_of(operation).schema
        self.left_out = self.schema.left_out(call)
        self.call, self.context, self.nodes = call, context, NODES

    def judge(self, legacy, enhanced):
        legacy, enhanced = self.form("legacy", legacy), self.form("enhanced", enhanced)
        if encoded(self.compared(legacy)) == encoded(self.compared(enhanced)):
            return Judgement(Verdict.MATCH)
        compare = {"memory": self.memories, "chat": self.chat}.get(self.family, self.structure)
        found = tuple(compare(legacy, enhanced))[:200]
        if not found:
            return Judgement(Verdict.MATCH)
        kinds = {each.kind for each in found}
        if kinds <= {Kind.ADDED, Kind.REPHRASED} and all(each.severity is Severity.MINOR for each in found):
            return Judgement(Verdict.IGNORED, found, "rephrased" if kinds == {Kind.REPHRASED} else "enriched")
        counts = ", ".join(f"{count} {kind}" for kind, count in Counter(each.kind.value for each in found).items())
        return Judgement(Verdict.DIVERGED, found, counts + (", 200 told" if len(found) == 200 else ""))

    def form(self, side, value):
        try:
            return self.settled(canonical(value), "$")
        except Unjudgeable as unjudgeable:
            raise Unjudgeable(f"{side}: {unjudgeable.reason}") from None

    def settled(self, form, name):
        if isinstance(form, dict):
            return {key: self.settled(value, key) for key, value in form.items()}
        if isinstance(form, list):
            items = [self.settled(each, "") for each in form]
            return sorted(items, key=encoded) if name in self.schema.unordered else items
        return form

    def compared(self, form):
        return [self.record(each) for each in form] if isinstance(form, list) else self.record(form)

    def record(self, form):
        if not isinstance(form, dict):
            return form
        blank = {name for name in self.schema.blank if form.get(name, 0) in BLANKS}
        return {name: value for name, value in form.items() if name not in self.left_out | blank}

    def shallow(self, value):
        """Leave out of the answer as it is what its records are compared without."""
        if isinstance(value, list):
            return [self.shallow(each) if isinstance(each, dict) else each for each in value]
        return {k: v for k, v in value.items() if k not in self.left_out} if isinstance(value, dict) else value

    # comparators

    def structure(self, legacy, enhanced):
        if isinstance(legacy, list) and isinstance(enhanced, list):
            lists = self.records(legacy, enhanced)
            yield from self.list_differences(lists, ordered="$" not in self.schema.unordered)
            yield from self.edits(lists)
        else:
            yield from self.values(self.record(legacy), self.record(enhanced), "$")

    def chat(self, legacy, enhanced):
        before, after = (value.get("reply") if isinstance(value, dict) else value for value in (legacy, enhanced))
        if not (isinstance(before, str) and isinstance(after, str) and type(legacy) is type(enhanced)):
            yield from self.structure(legacy, enhanced)
            return
        finding = _compare_texts(before, after, self)
        if finding is not None:
            path = "$" if isinstance(legacy, str) else "$.reply"
            yield Difference(path, finding.kind, finding.severity, before, after)
        if isinstance(legacy, dict):
            legacy, enhanced = ({k: v for k, v in each.items() if k != "reply"} for each in (legacy, enhanced))
            yield from self.structure(legacy, enhanced)

    def memories(self, legacy, enhanced):
        both_lists = isinstance(legacy, list) and isinstance(enhanced, list)
        owners = {owner_of(each) for each in (legacy if isinstance(legacy, list) else [legacy])} - {None, ""}
        owners = {str(self.call.user)} if self.call else owners if both_lists or isinstance(legacy, dict) else set()
        if not both_lists:
            leaks = self.leak(legacy, enhanced, "$", owners)
            yield from leaks
            yield from (each for each in self.structure(legacy, enhanced) if not leaks or each.path != leaks[0].path)
            return
        lists = self.records(legacy, enhanced)
        leaks = [
            Difference(f"$[{j}]", Kind.LEAK, Severity.CRITICAL, ABSENT, enhanced[j])
            for j in lists.added
            if is_foreign(enhanced[j], owners)
        ]
        leaked = {each.path for each in leaks}
        for i, j in lists.pairs:
            if lists.left[i] != lists.right[j]:
                leaks += self.leak(legacy[i], enhanced[j], f"$[{i}]", owners)
        yield from leaks
        own = lists._replace(added=[j for j in lists.added if f"$[{j}]" not in leaked])
        yield from self.list_differences(self.without_edge(own), ordered=True, loss=Severity.CRITICAL)
        told = {each.path for each in leaks}
        yield from (each for each in self.edits(lists) if each.path not in told)

    def leak(self, legacy, enhanced, path, owners):
        if not is_foreign(enhanced, owners) or owner_of(enhanced) == owner_of(legacy):
            return []
        before = legacy.get("user_id", ABSENT) if isinstance(legacy, dict) else ABSENT
        return [Difference(f"{path}.user_id", Kind.LEAK, Severity.CRITICAL, before, enhanced["user_id"])]

    def without_edge(self, lists):
        limit = self.call.args.get("limit") if self.call else None
        if not (len(lists.legacy) == len(lists.enhanced) == limit and lists.pairs and lists.lost):
            return lists
        times = [time_of(lists.legacy[i]) for i in lists.lost] + [time_of(lists.enhanced[j]) for j in lists.added]
        edge = sorted(times, reverse=True)[len(times) // 2 - 1] if all(times) and len(times) > 1 else ""
        last = [max(indices) for indices in zip(*lists.pairs, strict=True)]
        return lists._replace(
            lost=[i for i in lists.lost if not (i > last[0] and time_of(lists.legacy[i]) < edge)],
            added=[j for j in lists.added if not (j > last[1] and time_of(lists.enhanced[j]) < edge)],
        )

    # lists

    def records(self, legacy, enhanced):
        left, right = ([encoded(self.record(each)) for each in items] for items in (legacy, enhanced))
        return self.aligned("$", legacy, enhanced, left, right, self.schema.telling)

    def aligned(self, path, legacy, enhanced, left, right, telling=()):
        identities = [[identity_of(each, self.schema.key) for each in items] for items in (legacy, enhanced)]
        pairs = paired(left, right, *identities, lambda i, j: alike(legacy[i], enhanced[j], telling))
        lost = [i for i in range(len(left)) if i not in pairs]
        added = [j for j in range(len(right)) if j not in pairs.values()]
        return Lists(path, legacy, enhanced, left, right, sorted(pairs.items()), lost, added)

    def list_differences(self, lists, *, ordered, loss=Severity.MAJOR):
        yield from unpaired(lists.path, lists.lost, lists.left, lists.legacy, lists.right, loss, lost=True)
        yield from unpaired(
            lists.path, lists.added, lists.right, lists.enhanced, lists.left, Severity.MAJOR, lost=False
        )
        before = [i for i, _ in lists.pairs]
        after = [i for i, _ in sorted(lists.pairs, key=lambda both: both[1])]
        if ordered and before != after:
            yield Difference(lists.path, Kind.ORDER, Severity.MAJOR, before, after)

    def edits(self, lists):
        for i, j in lists.pairs:
            before, after = self.record(lists.legacy[i]), self.record(lists.enhanced[j])
            yield from self.values(before, after, item(lists.path, i))

    # values

    def values(self, legacy, enhanced, path, *, ordered=True):
        if encoded(legacy) == encoded(enhanced):
            return
        if isinstance(legacy, list) and isinstance(enhanced, list):
            contents = ([encoded(each) for each in items] for items in (legacy, enhanced))
            lists = self.aligned(path, legacy, enhanced, *contents)
            yield from self.list_differences(lists, ordered=ordered)
            for i, j in lists.pairs:
                yield from self.values(legacy[i], enhanced[j], item(path, i))
        elif isinstance(legacy, dict) and isinstance(enhanced, dict):
            yield from self.objects(legacy, enhanced, path)
        else:
            yield leaf_difference(legacy, enhanced, path)

    def objects(self, legacy, enhanced, path):
        names = sorted({*legacy, *enhanced})
        left = {name for name in names if encoded([legacy.get(name)]) != encoded([enhanced.get(name)])}
        left |= legacy.keys() ^ enhanced.keys()
        lists = [name for name in names if name in left and may_hold_lists(legacy.get(name), enhanced.get(name))]
        for name in lists:
            ordered = name not in self.schema.unordered
            yield from self.values(legacy[name], enhanced[name], member(path, name), ordered=ordered)
        left -= set(lists)
        if left:
            yield from self.residue(
                *({k: v for k, v in each.items() if k in left} for each in (legacy, enhanced)), path
            )

    def residue(self, legacy, enhanced, path):
        """Ask deepdiff, in any case, and tell what it finds in the order of the paths."""
        nodes = 5 + nodes_of(legacy) + nodes_of(enhanced)
        if nodes > self.nodes:
            yield leaf_difference(legacy, enhanced, path)
            return
        self.nodes -= nodes
        tree = DeepDiff(_tamed(legacy), _tamed(enhanced), **_OPTIONS)
        found = [level.path(output_format="list") for levels in tree.values() for level in levels]
        assert found
        for steps in sorted(found, key=lambda steps: [(isinstance(step, str), step) for step in steps]):
            yield leaf_difference(reached(legacy, steps), reached(enhanced, steps), below(path, steps))


def is_equal(legacy, enhanced, of):
    line = msgspec.json.encode(legacy)
    return line == msgspec.json.encode(enhanced) and within_fences(line, *of)


def paired(left, right, left_ids, right_ids, alike):  # noqa: C901 -- the rules, one after another
    """Pair by content from both ends, then anywhere, then by identity, last by place; each step as it reads."""
    pairs = {}

    def free():
        return [i for i in range(len(left)) if i not in pairs], [
            j for j in range(len(right)) if j not in pairs.values()
        ]

    def pair_identities(some, others):
        for i in some:
            fitting = [j for j in others if left_ids[i] is not None and left_ids[i] == right_ids[j]]
            fitting = [j for j in fitting if j not in pairs.values()]
            if fitting:
                pairs[i] = fitting[0]

    def are_shared():
        known = [(left_ids[i], right_ids[j]) for i, j in pairs.items() if None not in (left_ids[i], right_ids[j])]
        return 2 * sum(one == other for one, other in known) >= len(known)

    shorter = min(len(left), len(right))
    head = next((n for n in range(shorter) if left[n] != right[n]), shorter)
    tail = next((n for n in range(shorter - head) if left[-n - 1] != right[-n - 1]), shorter - head)
    pairs |= {n: n for n in range(head)} | {len(left) - n - 1: len(right) - n - 1 for n in range(tail)}
    lefts, rights = free()
    for content in dict.fromkeys(left[i] for i in lefts):
        some, others = [i for i in lefts if left[i] == content], [j for j in rights if right[j] == content]
        if len(some) != len(others):
            pair_identities(some, others)
        some, others = [i for i in some if i not in pairs], [j for j in others if j not in pairs.values()]
        pairs |= dict(zip(some, others, strict=False))
    if are_shared():
        pair_identities(*free())
    shared, (lefts, rights) = are_shared(), free()
    lefts = [i for i in lefts if left[i] not in right and not (shared and left_ids[i] is not None)]
    rights = [j for j in rights if right[j] not in left and not (shared and right_ids[j] is not None)]
    before = {i: max((k for k in pairs if k < i), default=-1) for i in lefts}
    origins = {j: i for i, j in pairs.items()}
    after = {j: origins[max(k for k in origins if k < j)] if min(origins, default=j) < j else -1 for j in rights}
    for anchor in dict.fromkeys(before.values()):
        some, others = [i for i in lefts if before[i] == anchor], [j for j in rights if after[j] == anchor]
        if len(some) == len(others):
            pairs |= {i: j for i, j in zip(some, others, strict=True) if alike(i, j)}
    return pairs


def unpaired(path, indices, contents, items, others, severity, *, lost):
    if not others:
        severity = Severity.CRITICAL
        if len(indices) > 1:
            yield (
                Difference(path, Kind.LOST, severity, items, [])
                if lost
                else Difference(path, Kind.ADDED, severity, [], items)
            )
            return
    for index in indices:
        once, again = (Kind.LOST, Kind.DEDUPLICATED) if lost else (Kind.ADDED, Kind.DUPLICATED)
        repeated = contents[index] in others
        kind, weight = (again, Severity.MAJOR if lost else severity) if repeated else (once, severity)
        sides = (items[index], ABSENT) if lost else (ABSENT, items[index])
        yield Difference(item(path, index), kind, weight, *sides)


def owner_of(memory):
    owner = memory.get("user_id") if isinstance(memory, dict) else None
    return None if owner is None else str(owner)


def is_foreign(memory, owners):
    return bool(owners) and owner_of(memory) is not None and owner_of(memory) not in owners


def time_of(memory):
    time = memory.get("created_at") if isinstance(memory, dict) else None
    return time if isinstance(time, str) else ""


def identity_of(each, key):
    identity = each.get(key) if isinstance(each, dict) else None
    return None if identity is None else encoded(identity)


def alike(left, right, telling):
    if not (telling and isinstance(left, dict) and isinstance(right, dict)):
        return type(left) is type(right)
    return any(left.get(name) and encoded(left[name]) == encoded(right.get(name)) for name in telling)


def may_hold_lists(legacy, enhanced):
    if isinstance(legacy, dict) and isinstance(enhanced, dict):
        return b"[" in encoded(legacy) and b"[" in encoded(enhanced)
    return isinstance(legacy, list) and isinstance(enhanced, list)


def nodes_of(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(nodes_of, inner))


def reached(value, steps):
    try:
        for step in steps:
            value = value[step]
    except (KeyError, IndexError):
        return ABSENT
    return value
