<?php
/**
 * Plugin Name: Purge
 * Description: Takes pages out of every Varnish as soon as what they show has changed.
 *
 * The caches are those that are registered as `varnish`. What is not purged, because a cache did not answer
 * or a page is not on the list, is made anew when somebody asks for it after a minute; who asks first gets
 * the old page once more.
 */

namespace Waypost\Purge;

use WP_Comment;
use WP_Post;

/** Seconds that a cache may take for one page. */
const TIMEOUT = 0.5;

/** How many pages of a list of posts are purged; later ones change by the time they are asked for. */
const PAGES = 5;

// The address may change with the update, so that of before is gone, too.
add_action('pre_post_update', fn (int $id) => changed(get_post($id)));
add_action('transition_post_status', fn ($new, $old, WP_Post $post) => changed($post, $old), 10, 3);
add_action('before_delete_post', fn (int $id, WP_Post $post) => changed($post), 10, 2);
add_action('comment_post', fn (int $id) => commented(get_comment($id)));
add_action('edit_comment', fn (int $id) => commented(get_comment($id)));
add_action('transition_comment_status', fn ($new, $old, WP_Comment $comment) => commented($comment), 10, 3);
add_action('deleted_comment', fn ($id, WP_Comment $comment) => commented($comment), 10, 2);
// When all is written: a visitor who comes now gets the new page.
add_action('shutdown', fn () => purge(array_keys(owed())));

/** Has all pages purged that show a post which was or is public. */
function changed(?WP_Post $post, string $status_before = ''): void
{
    $is_public = $post && in_array('publish', [$post->post_status, $status_before], true);
    if ($is_public && is_post_type_viewable($post->post_type)) {
        owed([...own_pages($post), ...lists_with($post)]);
    }
}

/** Has the pages purged that show a comment. */
function commented(?WP_Comment $comment): void
{
    if ($comment && $post = get_post((int) $comment->comment_post_ID)) {
        $feeds = array_map('get_feed_link', ['comments_rss2', 'comments_atom']);
        owed([...own_pages($post), home_url('/'), ...$feeds]);
    }
}

/** What is to be purged, as keys; more is remembered, each page once. */
function owed(array $more = []): array
{
    static $urls = [];

    return $urls += array_fill_keys(array_filter($more, 'is_string'), true);
}

function own_pages(WP_Post $post): array
{
    $short = wp_get_shortlink($post->ID, 'post');

    return [get_permalink($post), $short, get_post_comments_feed_link($post->ID)];
}

/** The front page, and the archives and feeds that list the post. */
function lists_with(WP_Post $post): array
{
    [$year, $month, $day] = explode('-', substr($post->post_date, 0, 10));
    $lists = [
        home_url('/'),
        get_permalink((int) get_option('page_for_posts')),
        get_post_type_archive_link($post->post_type),
        get_author_posts_url((int) $post->post_author),
        get_year_link($year),
        get_month_link($year, $month),
        get_day_link($year, $month, $day),
    ];
    $feeds = array_map('get_feed_link', ['rss2', 'atom', 'rdf', 'rss']);
    foreach (get_object_taxonomies($post->post_type) as $taxonomy) {
        foreach (get_the_terms($post, $taxonomy) ?: [] as $term) {
            if (is_taxonomy_viewable($taxonomy)) {
                $lists[] = get_term_link($term);
                $feeds[] = get_term_feed_link($term->term_id, $taxonomy);
            }
        }
    }
    $lists = array_unique(array_filter($lists, 'is_string'));

    return [...$lists, ...array_merge(...array_map(__NAMESPACE__.'\later_pages', $lists)), ...$feeds];
}

function later_pages(string $list): array
{
    $page = fn (int $number): string => strpos($list, '?') === false && get_option('permalink_structure')
        ? user_trailingslashit(trailingslashit($list)."page/$number", 'paged')
        : add_query_arg('paged', $number, $list);

    return array_map($page, range(2, PAGES));
}

/** Asks each cache for each page; one that does not answer is left alone after the first. */
function purge(array $urls): void
{
    $caches = $urls ? (@include WAYPOST_SERVICES)['services']['varnish'] ?? [] : [];
    foreach (array_column($caches, 'address') as $cache) {
        foreach ($urls as $url) {
            if (!is_purged($cache, $url)) {
                error_log("waypost-purge: the Varnish at $cache does not purge $url: it may be an old page");
                break;
            }
        }
    }
}

function is_purged(string $cache, string $url): bool
{
    $parts = wp_parse_url($url);
    $host = $parts['host'].(isset($parts['port']) ? ":{$parts['port']}" : '');
    $path = ($parts['path'] ?? '/').(isset($parts['query']) ? "?{$parts['query']}" : '');
    $stream = @stream_socket_client("tcp://$cache", $code, $reason, TIMEOUT);
    if (!$stream) {
        return false;
    }
    stream_set_timeout($stream, 0, (int) (1e6 * TIMEOUT));
    fwrite($stream, "PURGE $path HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n\r\n");

    return (bool) preg_match('#^HTTP/1\.\d 200 #', (string) fgets($stream));
}
