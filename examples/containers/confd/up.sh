#!/bin/sh
# The same, as a setup with confd has it: etcd's v2 keys on port 4001, and its flags and commands.
#   DOCKER    the docker client        INTERVAL    seconds from one look at etcd to the next
set -eu
here=$(dirname "$(realpath "$0")")
docker=${DOCKER:-docker}
host=$(ip -4 -o address show docker0 | sed 's/.* inet \([0-9.]*\).*/\1/')

"$docker" run -d --name etcd --restart always -p "$host:4001:4001" -v etcd:/data waypost-example/etcd --enable-v2 \
    --data-dir /data --listen-client-urls http://0.0.0.0:4001 --advertise-client-urls "http://$host:4001"
"$docker" run -d --name nginx --restart always --stop-signal QUIT -p 80:80 -v nginx:/etc/nginx:ro waypost-example/nginx
"$here/confd.sh" "${INTERVAL:-60}"
"$here/web.sh" web-1
"$here/web.sh" web-2
