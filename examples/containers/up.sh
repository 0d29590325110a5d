#!/bin/sh
# Starts etcd, nginx, waypost and two web servers; nginx serves on port 80.    DOCKER    the docker client
set -eu
here=$(dirname "$(realpath "$0")")
docker=${DOCKER:-docker}
# The host as containers see it. Published on this address only, etcd is not open to the world.
host=$(ip -4 -o address show docker0 | sed 's/.* inet \([0-9.]*\).*/\1/')

"$docker" run -d --name etcd --restart always -p "$host:2379:2379" -v etcd:/data waypost-example/etcd \
    --data-dir /data --listen-client-urls http://0.0.0.0:2379 --advertise-client-urls "http://$host:2379"
"$docker" run -d --name nginx --restart always --stop-signal QUIT -p 80:80 -v nginx:/etc/nginx:ro waypost-example/nginx
"$docker" run -d --name waypost --restart always \
    -v "$here/waypost:/etc/waypost:ro" -v waypost:/var/lib/waypost \
    -v nginx:/etc/nginx -v /var/run/docker.sock:/var/run/docker.sock \
    waypost-example/waypost run --node gateway
"$here/web.sh" web-1
"$here/web.sh" web-2
