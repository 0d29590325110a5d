#!/bin/sh
# web.sh NAME: starts a web server that is registered as /test/NAME while it answers, in etcd's v2 keys.
#   DOCKER    the docker client        TTL    how long the key lives after its container was killed, in seconds
set -eu
docker=${DOCKER:-docker}
host=$(ip -4 -o address show docker0 | sed 's/.* inet \([0-9.]*\).*/\1/')
"$docker" run -d --name "$1" --restart always -e "HOST=$host" -e "TTL=${TTL:-10}" waypost-example/web-confd "$1"
