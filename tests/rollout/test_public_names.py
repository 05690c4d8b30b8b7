import rollout


def test_public_names():
    """What others may import from the room; everything else may change."""
    assert rollout.__all__ == [
        "ClusterEvidence",
        "Criterion",
        "Decision",
        "Epoch",
        "Evidence",
        "Exposure",
        "Funnel",
        "OperationEvidence",
        "Outcomes",
        "Policy",
        "Stage",
        "Standing",
        "State",
        "Window",
        "decide",
    ]
    assert all(hasattr(rollout, name) for name in rollout.__all__)
