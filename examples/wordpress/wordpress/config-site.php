<?php
// /etc/wordpress/config-site.php: WordPress's configuration, which nginx names by WORDPRESS_CONFIG.

// DB_PASSWORD, and the keys that cookies are signed with: made by make-secrets.sh, the same on all web
// servers.
require '/etc/wordpress/secrets-site.php';

// Where the database is, read anew for each page: opcache has the file, so that costs less than a
// microsecond. wp-content/db.php looks again when the database does not answer.
define('WAYPOST_SERVICES', '/run/waypost/site/services.php');
define('DB_HOST', (@include WAYPOST_SERVICES)['services']['db'][0]['address'] ?? '127.0.0.1:1');
define('DB_NAME', 'wordpress');
define('DB_USER', 'wordpress');
define('DB_CHARSET', 'utf8mb4');
$table_prefix = 'wp_';

define('WP_HOME', 'http://www.example.com');
define('WP_SITEURL', WP_HOME);
define('WP_CONTENT_DIR', '/var/lib/wordpress/wp-content');

// A page waits for nobody outside, and starts no jobs: cron calls wp-cron.php.
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('DISABLE_WP_CRON', true);
