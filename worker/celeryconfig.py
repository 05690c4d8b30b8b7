"""How Celery runs here: hints are acknowledged early and carry nothing, so losing or doubling one does no harm."""

from gnomon.keys import Keys
from worker.settings import settings

_settings = settings()

broker_url = _settings.broker_url
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # it comes back, or somebody ends the worker
broker_channel_error_retry = True  # a Redis that is full or read-only refuses hints: that is no reason to end either
broker_transport_options = {"socket_keepalive": True, "health_check_interval": 10}
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
beat_schedule = {
    "sweep": {"task": "gnomon.sweep", "schedule": 2.0, "options": {"expires": 10}},
    "ready": {"task": "gnomon.ready", "schedule": 1.0, "options": {"expires": 10}},
}
beat_max_loop_interval = 2
