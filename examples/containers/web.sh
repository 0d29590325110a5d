#!/bin/sh
# web.sh NAME: starts a web server that is registered as /test/NAME while it answers.
#   DOCKER    the docker client        TTL    how long the key lives after its container was killed
set -eu
docker=${DOCKER:-docker}
host=$(ip -4 -o address show docker0 | sed 's/.* inet \([0-9.]*\).*/\1/')
"$docker" run -d --name "$1" --restart always -e "ETCD_ENDPOINT=http://$host:2379" waypost-example/web \
    announce "$1" --prefix /test --port 8080 --check http:/ --ttl "${TTL:-10s}" -- /bin/httpd -f -p 8080 -h /www
