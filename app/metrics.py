"""Numbers for Prometheus: processes alive and bells per lane. They hold nothing of any tenant."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from redis.exceptions import RedisError

from app import queue
from app.extensions import settings
from app.models.tasks import LANES
from app.services import heartbeats


def collect() -> bytes:
    """Return the present numbers in Prometheus' text form."""
    registry = CollectorRegistry()
    alive = Gauge("patchbay_processes_alive", "Processes seen in the last 30 s", ["kind", "lane"], registry=registry)
    for kind, lane in heartbeats.list_alive():
        alive.labels(kind, lane or "").inc()
    bells = Gauge("patchbay_bells", "Bells waiting in Redis", ["lane"], registry=registry)
    for lane in LANES:
        try:
            bells.labels(lane).set(queue.queue_of(lane, queue.connect(settings().redis_url.get_secret_value())).count)
        except (RedisError, OSError):
            bells.labels(lane).set(float("nan"))
    return generate_latest(registry)
