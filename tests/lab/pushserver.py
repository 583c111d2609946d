"""nginx with nchan: the push server of a node.

It listens on every route's port, of both listeners, by nginx's port ranges.
No redirect rule on the node is needed for that, and none is used: a redirect
folds ports together, and two connections of a client that differ only in the
VIP's port would become the same four-tuple.

Its channels are in its own memory: a message reaches a subscriber only where
both came to the same node, which is what HaloD is for.
"""

from pathlib import Path

from .addresses import APPS_PORT, BROWSERS_PORT, ROUTES, Host, bracketed
from .netns import Namespace
from .process import Process

CONFIG = """\
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
user root;
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    nchan_shared_memory_size 16M;
    nchan_message_timeout 5s;
    add_header X-Node {name} always;

    server {{  # browsers
        {browsers}
        location = /sub {{
            nchan_subscriber eventsource websocket;
            nchan_channel_id $arg_id;
            nchan_subscriber_first_message newest;
        }}
        location = /who {{ return 200 "{name} $server_port\\n"; }}
    }}
    server {{  # applications
        {apps}
        location = /pub {{
            nchan_publisher http;
            nchan_channel_id $arg_id;
        }}
        location = /who {{ return 200 "{name} $server_port\\n"; }}
    }}
}}
"""


class PushServer(Process):
    """nginx on a node's machine, on all of the node's addresses."""

    first = BROWSERS_PORT  # of the browsers' ports

    def __init__(self, namespace: Namespace, name: str, host: Host, directory: Path, routes: int = ROUTES):
        home = directory / f"nginx-{name}"
        home.mkdir(exist_ok=True)

        def listen(base: int) -> str:
            return "\n        ".join(
                f"listen {bracketed(address)}:{base}-{base + routes - 1};" for address in (host.v4, host.v6)
            )

        config = home / "nginx.conf"
        config.write_text(
            CONFIG.format(directory=home, name=name, browsers=listen(BROWSERS_PORT), apps=listen(APPS_PORT))
        )
        argv = ["nginx", "-p", home, "-e", "stderr", "-c", config]
        super().__init__(namespace, f"nginx-{name}", argv, directory)
