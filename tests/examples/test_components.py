"""The example application's components show what is in the memory, as text and nothing else."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.live_app.components import chat_widget, memory_panel
from examples.live_app.hooks import Hooks

pytestmark = pytest.mark.components

NO_MEMORY = Hooks(None)
AT = "2026-03-02T08:00:00.000001+00:00"
HOSTILE = "</span><script>alert(\"x\")</script><img src=x onerror='y'>&amp;<!--"
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"))
anything = text | st.sampled_from([HOSTILE, '" onclick="x', "]]>", "&lt;b&gt;"])


class Page(HTMLParser):
    """What a browser would make of a fragment: tags, attributes and texts."""

    def __init__(self, fragment):
        super().__init__()
        self.tags, self.texts, self.attributes = [], [""], {}
        self.feed(fragment)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.texts.append("")
        self.attributes.setdefault(tag, []).append(dict(attrs))

    def handle_data(self, data):
        self.texts[-1] += data

    def handle_comment(self, data):
        self.tags.append(f"comment {data}")

    def text_of(self, tag):
        return [text for name, text in zip(self.tags, self.texts[1:], strict=True) if name == tag]


def memory(content, memory_type="note", **metadata):
    return {
        "id": "an-id",
        "user_id": "u",
        "memory_type": memory_type,
        "content": content,
        "metadata": metadata,
        "created_at": AT,
    }


def panel_of(user, items):
    memories = NO_MEMORY.use_memories(user)
    memories.items = items
    return Page(memory_panel(memories))


@given(anything, st.lists(st.tuples(anything, anything), max_size=4))
def test_a_panel_shows_each_memory_as_text(user, saved):
    """Type, text and time of each, in order; whatever a user saved, the tags are ours."""
    page = panel_of(user, [memory(content, memory_type) for content, memory_type in saved])
    item = ["li", "b", "span", "time"]
    assert page.tags == (["section", "ul", *item * len(saved)] if saved else ["section", "p"])
    assert page.attributes["section"] == [{"class": "memory-panel", "data-user": user}]
    assert list(zip(page.text_of("span"), page.text_of("b"), strict=True)) == saved
    assert page.text_of("time") == ["2026-03-02 08:00"] * len(saved)


@given(anything, st.lists(st.tuples(anything, anything), max_size=4))
def test_a_widget_shows_each_turn_as_text(conversation_id, turns):
    """In order, each as the user's or the assistant's; whatever was said, the tags are ours."""
    chat = NO_MEMORY.use_chat("u", conversation_id)
    chat.turns = [memory(content, role=role) for content, role in turns]
    page = Page(chat_widget(chat))
    assert page.tags == ["section", "ol", *["li", "span", "time"] * len(turns)]
    assert page.attributes["section"] == [{"class": "chat-widget", "data-conversation": conversation_id}]
    assert page.text_of("span") == [content for content, _ in turns]
    assert {line["class"] for line in page.attributes.get("li", [])} <= {"user", "assistant"}


def test_components_show_what_the_app_saved(web):
    """Before and after: a hostile memory and message come out of the app as text."""
    web.ask("POST", "/memories", json={"user_id": "u", "memory_type": HOSTILE, "content": HOSTILE})
    web.ask("POST", "/chat", json={"user_id": "u", "message": HOSTILE, "conversation_id": HOSTILE})
    panel = web.ask("GET", "/memories/panel", params={"user_id": "u"})
    widget = web.ask("GET", "/chat/widget", params={"user_id": "u", "conversation_id": HOSTILE})
    for shown in (panel, widget):
        assert shown.headers["content-type"] == "text/html; charset=utf-8"
        assert not {"script", "img"} & set(Page(shown.text).tags)
        assert HOSTILE in Page(shown.text).text_of("span")
    assert [line["class"] for line in Page(widget.text).attributes["li"]] == ["user", "assistant"]
