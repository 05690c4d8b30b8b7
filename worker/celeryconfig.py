"""How Celery runs here: hints are acknowledged early and carry nothing, so losing or doubling one does no harm."""

from gnomon.keys import Keys
from worker.beat import every
from worker.settings import settings

_settings = settings()

broker_url = _settings.broker_url
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # it comes back, or somebody ends the worker
broker_channel_error_retry = True  # a Redis that is full or read-only refuses hints: that is no reason to end either
# a connection that is alive and silent is dropped after health_check_interval + 1 s where a message is waited for, and
# after socket_timeout anywhere else
broker_transport_options = {
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 5,
}
imports = ("tasks",)
task_default_queue = Keys(_settings.namespace).queue
task_serializer = "json"
accept_content = ["json"]
task_ignore_result = True
task_acks_late = False
worker_prefetch_multiplier = 1
worker_concurrency = _settings.concurrency
worker_pool = "worker.children:TaskPool"  # prefork, with children that leave in order
worker_max_memory_per_child = _settings.child_memory_mb * 1_024
worker_hijack_root_logger = False
worker_soft_shutdown_timeout = 10.0  # twice what a drain has to hand its lanes back (worker.drain.STOP_S, CUT_SHORT_S)
worker_proc_alive_timeout = 30.0  # children import SQLAlchemy and the operations: 4 s seen on a slow core
# while no worker is up, what beat asks for does not pile up for ever; hosts' clocks may be that far apart
_AGAIN_SOON = {"expires": 60}
beat_scheduler = "worker.beat:SteadyScheduler"
beat_schedule = {
    "sweep": {"task": "gnomon.sweep", "schedule": every(2.0), "options": _AGAIN_SOON},
    "retain": {"task": "gnomon.retain", "schedule": every(600.0), "options": _AGAIN_SOON},
    "evaluate": {"task": "gnomon.evaluate", "schedule": every(_settings.evaluate_s), "options": _AGAIN_SOON},
    "ready": {"task": "gnomon.ready", "schedule": every(1.0), "options": _AGAIN_SOON},
}
beat_max_loop_interval = 2
