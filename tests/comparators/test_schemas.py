from comparators import Call, Schema

SCHEMA = Schema(
    volatile=frozenset({"id"}),
    minted=frozenset({"conversation_id"}),
    blank=frozenset({"metadata"}),
    unordered=frozenset({"facts"}),
)


def test_a_minted_field_is_left_out_where_the_call_did_not_give_it():
    """Absent or null in the arguments, or no call at all: the systems minted it."""
    left_out = {"id", "conversation_id"}
    assert SCHEMA.left_out(None) == left_out
    assert SCHEMA.left_out(Call("ann", {}, None)) == left_out
    assert SCHEMA.left_out(Call("ann", {"conversation_id": None}, None)) == left_out
    assert SCHEMA.left_out(Call("ann", {"conversation_id": "c1"}, None)) == {"id"}


def test_only_a_records_own_fields_are_left_out():
    """`id` hides neither `paid_id` nor an id further down."""
    record = {"id": 1, "paid_id": 2, "metadata": {"id": 3}}
    assert SCHEMA.compared([record], frozenset({"id"})) == [{"paid_id": 2, "metadata": {"id": 3}}]


def test_blank_fields_are_as_good_as_missing():
    """null and {} are; an empty list or text is not."""
    compared = [SCHEMA.record({"metadata": blank}, frozenset()) for blank in (None, {}, [], "")]
    assert compared == [{}, {}, {"metadata": []}, {"metadata": ""}]


def test_unordered_lists_are_settled_at_any_depth():
    """The lists named, the answer itself as `$`; other lists keep their order."""
    form = {"facts": [2, 1], "inner": {"facts": ["b", "a"], "other": [2, 1]}}
    assert SCHEMA.settled(form) == {"facts": [1, 2], "inner": {"facts": ["a", "b"], "other": [2, 1]}}
    assert Schema(unordered=frozenset({"$"})).settled([2, 1]) == [1, 2]
    assert SCHEMA.settled([2, 1]) == [2, 1]
