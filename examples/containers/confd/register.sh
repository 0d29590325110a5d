#!/bin/sh
# register NAME: serves, and keeps the key /test/NAME in etcd's v2 keys while that answers, as a sidekick does.
#   HOST    the address of etcd, port 4001        TTL    how long the key lives without us, in seconds
key=/v2/keys/test/$1
ttl=${TTL:-10}
ask() { printf '%s %s HTTP/1.0\r\n\r\n' "$1" "$2" | nc -w 5 "$HOST" 4001 > /dev/null; }

httpd -f -p 8080 -h /www &
server=$!
trap 'ask DELETE "$key"; kill "$server"; exit 0' TERM INT
while kill -0 "$server"; do
    wget -q -O /dev/null http://127.0.0.1:8080/ && ask PUT "$key?value=$(hostname -i):8080&ttl=$ttl"
    # A trap has to wait for a command, but not for a `wait`.
    sleep "$((ttl / 3 + 1))" &
    wait $!
done
