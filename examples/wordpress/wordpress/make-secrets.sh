#!/bin/sh
# Prints /etc/wordpress/secrets-site.php: `sh make-secrets.sh >secrets-site.php`. It is for the web servers
# only.
random() {
    head -c 48 /dev/urandom | base64 -w 0
}

echo "<?php"
for name in DB_PASSWORD AUTH_KEY SECURE_AUTH_KEY LOGGED_IN_KEY NONCE_KEY \
    AUTH_SALT SECURE_AUTH_SALT LOGGED_IN_SALT NONCE_SALT; do
    echo "define('$name', '$(random)');"
done
