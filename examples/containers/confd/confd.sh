#!/bin/sh
# confd.sh [SECONDS]: starts waypost as confd, which looks at etcd each SECONDS (60).    DOCKER    the docker client
set -eu
here=$(dirname "$(realpath "$0")")
docker=${DOCKER:-docker}
host=$(ip -4 -o address show docker0 | sed 's/.* inet \([0-9.]*\).*/\1/')
"$docker" run -d --name confd --restart always \
    -v "$here:/etc/confd:ro" -v nginx:/etc/nginx -v /var/run/docker.sock:/var/run/docker.sock \
    waypost-example/confd "-interval=${1:-60}" "-node=http://$host:4001" -backend etcd
