#!/bin/sh
# Makes the images of this example from programs of this machine; nothing is pulled. Needs root or the
# docker group, ldd and tar, and on Debian the packages etcd-server, nginx, busybox-static and netcat-openbsd.
#   DOCKER    the docker client        WAYPOST    the waypost binary
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(dirname "$(realpath "$0")")
docker=${DOCKER:-docker}
waypost=${WAYPOST:-$(command -v waypost)}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# add PROGRAM PLACE: the program, and the libraries that it is linked with.
add() {
    program=$(command -v "$1")
    install -D "$program" "$root/$2"
    for library in $(ldd "$program" 2>/dev/null | grep -o '/[^ ]*'); do
        install -D "$library" "$root/$library"
    done
}

# image NAME CHANGE…: makes it of what was added; a change is a line of a Dockerfile.
image() {
    name=waypost-example/$1
    shift
    for change; do
        shift
        set -- "$@" --change "$change"
    done
    tar -C "$root" --numeric-owner --owner 0 --group 0 -c . | "$docker" import "$@" - "$name" > /dev/null
    rm -rf "$root"
    mkdir "$root"
    echo "$name"
}

add etcd /bin/etcd
image etcd 'ENTRYPOINT ["/bin/etcd"]'

# Where Debian's nginx keeps what it buffers, the user of its workers, and what it serves before waypost
# has written anything: a new volume begins as a copy of what the image has in its place.
add nginx /bin/nginx
mkdir -p "$root/run" "$root/var/lib/nginx" "$root/var/log/nginx"
mkdir "$root/etc"
echo 'root:x:0:0::/:
nobody:x:65534:65534::/:' > "$root/etc/passwd"
echo 'root:x:0:
nogroup:x:65534:
nobody:x:65534:' > "$root/etc/group"
install -D -m 644 "$here/nginx/nginx.conf" "$root/etc/nginx/nginx.conf"
image nginx 'ENTRYPOINT ["/bin/nginx", "-e", "stderr", "-g", "daemon off;"]'

# One file and its libraries: neither a shell nor a docker client.
add "$waypost" /bin/waypost
image waypost 'ENTRYPOINT ["/bin/waypost"]'

# A web server under an announcer.
add "$waypost" /bin/waypost
add busybox /bin/httpd
mkdir "$root/www"
echo 'a page' > "$root/www/index.html"
image web 'ENTRYPOINT ["/bin/waypost"]'

# The program under confd's name, and what its commands need. Debian's busybox would take its own nc for `nc`, which
# knows no sockets of that kind, and its dash has no `echo -e`.
add "$waypost" /bin/confd
add bash /bin/sh
add nc.openbsd /bin/nc
image confd 'ENTRYPOINT ["/bin/confd"]'

# A web server with a script beside it, which calls programs of busybox.
add busybox /bin/busybox
ln -s busybox "$root/bin/sh"
mkdir "$root/www"
echo 'a page' > "$root/www/index.html"
install "$here/confd/register.sh" "$root/bin/register"
image web-confd 'ENTRYPOINT ["/bin/register"]'
