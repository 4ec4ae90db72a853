"""A real cluster of three nodes on this machine, started once."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

MEMORY = 80 * 2**20

HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 4,
}
"""A node that is gone refuses connections, and is noticed after two seconds; one that is only slow is given more."""

RAY_WARNINGS = [
    # Ray leaves the pipes and sockets of the processes that it starts to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # the processes of a new node are forked from this one, and become other programs at once
    pytest.mark.filterwarnings("ignore:lance is not fork-safe:UserWarning"),
]


def add_node(cluster: Any) -> Any:
    return cluster.add_node(num_cpus=1, object_store_memory=MEMORY)


@pytest.fixture(scope="package")
def cluster() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patched:
        # A token of its own, before ray is loaded: it would save one in the home folder, or take the one that is there
        patched.setenv("RAY_AUTH_MODE", "token")
        patched.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patched.setenv("OMP_NUM_THREADS", "1")  # of the nodes' processes: the last bit of a network depends on it
        yield from started()


ATTEMPTS = 3


def started() -> Iterator[Any]:
    """The cluster; on a busy machine Ray's own processes may miss their time limits, so it is started again."""
    import ray

    for attempt in range(1, ATTEMPTS + 1):
        try:
            found = new_cluster()
            break
        except Exception:  # whatever Ray makes of a process that did not report in time
            ray.shutdown()
            if attempt == ATTEMPTS:
                raise
    try:
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


def new_cluster() -> Any:
    from ray.cluster_utils import Cluster

    found = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "object_store_memory": MEMORY,
            "include_dashboard": False,
            "_system_config": HEALTH,
        },
    )
    try:
        for _ in range(2):
            add_node(found)
    except Exception:
        found.shutdown()
        raise
    return found


@pytest.fixture(scope="package")
def connected(cluster: Any) -> Iterator[Any]:
    """One connection for all tests; two more nodes that can be killed."""
    import ray

    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    yield cluster
    ray.shutdown()
