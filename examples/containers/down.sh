#!/bin/sh
# Removes the containers, volumes and images of this example, of both ways.    DOCKER    the docker client
set -eu
docker=${DOCKER:-docker}
images=$("$docker" images -q 'waypost-example/*')
for image in $images; do
    containers=$("$docker" ps -aq --filter "ancestor=$image")
    test -z "$containers" || "$docker" rm -f -v $containers
done
for volume in etcd nginx waypost; do
    "$docker" volume rm -f "$volume"
done
test -z "$images" || "$docker" rmi -f $images
