<?php
// Makes WordPress's tables and its first user, without a browser:
//   WORDPRESS_CONFIG=site HTTP_HOST=www.example.com PASSWORD=… php install.php TITLE USER EMAIL
define('WP_INSTALLING', true);
require (getenv('WORDPRESS') ?: '/usr/share/wordpress').'/wp-load.php';

/** In place of WordPress's own: no letter is sent. */
function wp_new_blog_notification(): void
{
}

require ABSPATH.'wp-admin/includes/upgrade.php';
// It would ask itself whether addresses without `?p=` work; behind nginx they do.
add_filter('block_local_requests', '__return_true');

[, $title, $user, $email] = $argv;
$made = wp_install($title, $user, $email, true, '', wp_slash((string) getenv('PASSWORD')), 'en_US');
$wp_rewrite->set_permalink_structure('/%year%/%monthnum%/%postname%/');
// Made anew by the first page, which knows of all that has an address.
delete_option('rewrite_rules');
echo "installed: user {$made['user_id']} is $user\n";
