from comparators import Difference, Kind, Severity, fingerprint


def of(path="$[3].content", kind=Kind.CHANGED, operation="memory.recent"):
    return fingerprint(operation, Difference(path, kind, Severity.MAJOR, "a", "b"))


def test_a_fingerprint_is_versioned_and_frozen():
    """Groups outlive releases: this value may only change together with the version."""
    assert of() == "1:f424aeb15a95"


def test_a_fingerprint_tells_operation_path_and_kind_apart():
    """Each of the three makes a group of its own."""
    assert len({of(), of(path="$[3].metadata"), of(kind=Kind.LOST), of(operation="memory.save")}) == 4


def test_any_text_has_a_fingerprint():
    """A lone surrogate in a key raises nothing."""
    assert of(path="$['\ud800']").startswith("1:")
