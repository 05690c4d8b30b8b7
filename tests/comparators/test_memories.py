from comparators import Call

CALL = Call("ann", {"memory_type": None, "limit": 100}, None)
RECENT = "memory.recent"


def test_a_saved_memory_is_compared_but_for_its_identity(told, page):
    """`memory.save`: id and creation time are volatile, content is not."""
    memory = page(1)[0]
    again = {**memory, "id": "other", "created_at": "2026-03-01T00:00:00Z"}
    assert told("memory.save", memory, again, call=CALL) == ("match", [])
    changed = ("diverged", [("changed", "major", "$.content")])
    assert told("memory.save", memory, {**again, "content": "else"}, call=CALL) == changed


def test_ids_below_a_memory_are_compared(told, page):
    """Only the memory's own `id` is volatile."""
    memory = {**page(1)[0], "metadata": {"id": 1, "conversation_id": "c1"}}
    other = {**memory, "metadata": {"id": 2, "conversation_id": "c1"}}
    assert told(RECENT, [memory], [other], call=CALL) == ("diverged", [("changed", "major", "$[0].metadata.id")])


def test_an_edit_is_told_by_its_field(told, page, copied):
    """One field of one memory: one difference, at that field."""
    enhanced = copied(page())
    enhanced[3]["metadata"]["slot"] = "city"
    assert told(RECENT, page(), enhanced, call=CALL) == ("diverged", [("added", "major", "$[3].metadata.slot")])


def test_edits_are_found_under_new_ids(told, page, copied):
    """Where ids do not meet, an edited memory is known by its time or metadata."""
    enhanced = copied(page())
    for memory in enhanced:
        memory["id"] = "new " + memory["id"]
    enhanced[3]["content"] = "edited"
    assert told(RECENT, page(), enhanced, call=CALL) == ("diverged", [("changed", "major", "$[3].content")])


def test_a_replaced_memory_is_a_loss_and_no_edit(told, page, copied):
    """Another memory in its place, with another id, or without any and nothing in common: lost and added."""
    lost_and_added = ("diverged", [("lost", "critical", "$[3]"), ("added", "major", "$[3]")])
    stranger = {
        "id": "x",
        "user_id": "ann",
        "memory_type": "conversation",
        "content": "never said",
        "metadata": {},
        "created_at": "2026-02-02T00:00:00Z",
    }
    enhanced = copied(page())
    enhanced[3] = stranger
    assert told(RECENT, page(), enhanced, call=CALL) == lost_and_added
    for memory in enhanced:
        memory["id"] = "new " + memory["id"]
    assert told(RECENT, page(), enhanced, call=CALL) == lost_and_added


def test_an_emptied_answer_is_one_critical_loss(told, page):
    """All gone is one thing to look at, and its reverse too; one of one is one."""
    assert told(RECENT, page(), [], call=CALL) == ("diverged", [("lost", "critical", "$")])
    assert told(RECENT, [], page(), call=CALL) == ("diverged", [("added", "critical", "$")])
    assert told(RECENT, page(1), [], call=CALL) == ("diverged", [("lost", "critical", "$[0]")])


def test_a_memory_that_changed_hands_is_a_leak(told, page, copied):
    """A known memory under another user's id is one leak, told at the field; in a saved memory too."""
    enhanced = copied(page())
    enhanced[2]["user_id"] = "ben"
    assert told(RECENT, page(), enhanced, call=CALL) == ("diverged", [("leak", "critical", "$[2].user_id")])
    saved = {**page(1)[0], "user_id": "ben"}
    assert told("memory.save", page(1)[0], saved, call=CALL) == ("diverged", [("leak", "critical", "$.user_id")])


def test_a_leak_into_an_empty_answer_is_found(told, page):
    """Where legacy has nothing, somebody else's memories are leaks, each."""
    leaks = [("leak", "critical", "$[0]"), ("leak", "critical", "$[1]")]
    assert told(RECENT, [], page(2, user="ben"), call=CALL) == ("diverged", leaks)


def test_leaks_are_told_before_anything_is_cut(told, page, copied):
    """A leak behind more differences than are told is told."""
    legacy, enhanced = page(400), copied(page(400))
    for memory in enhanced:
        memory["content"] += "!"
    enhanced[399]["user_id"] = "ben"
    verdict, differences = told(RECENT, legacy, enhanced, call=CALL)
    assert (verdict, len(differences), differences[0]) == ("diverged", 200, ("leak", "critical", "$[399].user_id"))


def test_users_are_compared_by_the_text_of_their_ids(told, page):
    """A numeric user id is the same user as its text."""
    call = Call("42", {}, None)
    legacy, enhanced = page(2, user=42), page(3, user=42)
    assert told(RECENT, legacy, enhanced, call=call) == ("diverged", [("added", "major", "$[0]")])


def test_any_shape_is_judged(told):
    """Answers that are no memories are compared by structure."""
    for legacy, enhanced in (
        (1, 2),
        ([1], [2]),
        ([None], [{}]),
        ({"a": 1}, None),
        ([{"user_id": []}], [{"user_id": {}}]),
    ):
        assert told(RECENT, legacy, enhanced, call=CALL)[0] == "diverged"
