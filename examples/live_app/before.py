"""The rental app as it is deployed: the import of `memory` says who keeps what its users tell."""

from examples.live_app.app import create_app
from gnomon_memory import legacy_service as memory

app = create_app(memory)
