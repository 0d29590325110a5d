//! Whose page a visitor sees, and how new it is.

use waypost_e2e::site::{ADMINISTRATOR, HOST, PASSWORD, Site};
use waypost_servers::{Response, request};

use crate::on_the_site;

/// What WordPress greets by, in the bar that only those see who have logged in.
const GREETING: &str = "Howdy, ";

/// Logs in, and returns the cookies.
#[track_caller]
fn log_in(site: &Site, user: &str) -> String {
    let form = format!("log={user}&pwd={}&testcookie=1", PASSWORD.replace(' ', "+"));
    let headers = [
        ("Host", HOST),
        ("Cookie", "wordpress_test_cookie=WP%20Cookie%20check"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let url = format!("{}/wp-login.php", site.varnish.url());
    let answer = request("POST", &url, &headers, form.as_bytes(), waypost_e2e::DEADLINE).unwrap();
    assert_eq!(answer.status, 302, "{user} is logged in: {}", answer.text());
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let pair = |value: &str| value.split(';').next().unwrap_or_default().to_owned();
    set.map(|(_, value)| pair(value)).collect::<Vec<_>>().join("; ")
}

fn purge(site: &Site, path: &str, headers: &[(&str, &str)]) -> Response {
    let headers: Vec<(&str, &str)> = [("Host", HOST)].iter().chain(headers).copied().collect();
    let url = format!("{}{path}", site.varnish.url());
    request("PURGE", &url, &headers, b"", waypost_e2e::DEADLINE).unwrap()
}

/// Who is greeted on the page, if anybody.
#[track_caller]
fn greeted(site: &Site, path: &str, cookie: Option<&str>) -> Option<String> {
    let page = site.visit(path, cookie).unwrap();
    assert_eq!(page.status, 200);
    let text = page.text();
    let at = text.find(GREETING)? + GREETING.len();
    let name: String = text[at..].chars().skip_while(|letter| *letter == '<').collect();
    let name = name.split(['>', '<']).find(|part| !part.is_empty() && !part.starts_with("span"))?;
    Some(name.to_owned())
}

#[test]
fn s8_a_page_of_somebody_who_has_logged_in_is_shown_to_nobody_else() {
    on_the_site(|site| {
        let user = format!(
            "username_exists('grace') || wp_insert_user(['user_login' => 'grace', 'role' => 'editor', \
             'user_pass' => '{PASSWORD}']);"
        );
        site.wordpress(&user);
        let (ada, grace) = (log_in(site, ADMINISTRATOR), log_in(site, "grace"));
        let everybody = [(None, None), (Some(&*ada), Some(ADMINISTRATOR)), (Some(&*grace), Some("grace"))];
        let with_other_cookies = format!("_ga=1; {ada}; wordpress_test_cookie=1");
        let post = site.wordpress("echo wp_make_link_relative(get_permalink(get_posts()[0]));");
        for path in ["/", &post] {
            for (first, second) in [(0, 1), (0, 2), (1, 0), (2, 0), (1, 2), (2, 1)] {
                // Nothing is cached, and it is the first one's page that is made.
                assert_eq!(purge(site, path, &[]).status, 200);
                for who in [first, second, first, second] {
                    let (cookie, name) = everybody[who];
                    assert_eq!(
                        greeted(site, path, cookie).as_deref(),
                        name,
                        "{path}: {first}, then {second}"
                    );
                }
            }
            assert_eq!(greeted(site, path, Some(&with_other_cookies)).as_deref(), Some(ADMINISTRATOR));
            assert_eq!(greeted(site, path, Some("_ga=1; wordpress_test_cookie=1")), None);
            assert_eq!(greeted(site, path, None), None);
        }
    });
}

#[test]
fn cookies_that_say_nothing_to_wordpress_make_no_page_of_their_own() {
    on_the_site(|site| {
        assert_eq!(purge(site, "/", &[]).status, 200);
        site.page("/");
        let answer = site.visit("/", Some("_ga=1; theme=dark; wordpress_test_cookie=1")).unwrap();
        assert_eq!(answer.header("x-cache"), Some("HIT"));
        for cookie in ["wordpress_logged_in_x=1", "a=b; comment_author_x=1", "wp-postpass_x=1"] {
            let answer = site.visit("/", Some(cookie)).unwrap();
            assert_eq!((answer.status, answer.header("x-cache")), (200, Some("MISS")), "{cookie}");
        }
        for path in ["/wp-login.php", "/?p=4&preview=true"] {
            site.visit(path, None).unwrap();
            assert_eq!(site.visit(path, None).unwrap().header("x-cache"), Some("MISS"), "{path}");
        }
    });
}

#[test]
fn what_is_published_changed_commented_on_and_deleted_is_seen_by_the_next_visitor() {
    on_the_site(|site| {
        let all = ["/", "/feed/", "/author/ada/", "/category/uncategorized/"];
        let shows = |text: &str| all.map(|path| site.page(path).contains(text));
        assert_eq!(shows("Breaking news"), [false; 4]);
        let made = site.wordpress(
            "$id = wp_insert_post(['post_title' => 'Breaking news', 'post_status' => 'publish', \
             'post_author' => 1, 'post_content' => 'Something has happened.']); \
             echo $id, ' ', wp_make_link_relative(get_permalink($id));",
        );
        let (id, path) = made.split_once(' ').unwrap();
        assert_eq!(shows("Breaking news"), [true; 4]);
        assert!(site.page(path).contains("Something has happened."));

        site.wordpress(&format!("wp_update_post(['ID' => {id}, 'post_title' => 'Old news']);"));
        assert_eq!(shows("Breaking news"), [false; 4]);
        assert_eq!(shows("Old news"), [true; 4]);
        assert!(site.page(path).contains("Old news"));

        let comment = site.wordpress(&format!(
            "echo wp_new_comment(['comment_post_ID' => {id}, 'comment_author' => 'Bob', 'comment_content' => \
             'I knew it.', 'comment_author_email' => 'bob@example.com', 'comment_author_url' => '', \
             'comment_author_IP' => '192.0.2.1', 'comment_agent' => '', 'user_id' => 0, \
             'comment_type' => 'comment']);"
        ));
        assert!(!site.page(path).contains("I knew it."), "nobody has let it pass yet");
        site.wordpress(&format!("wp_set_comment_status({comment}, 'approve');"));
        assert!(site.page(path).contains("I knew it."));

        site.wordpress(&format!("wp_delete_post({id}, true);"));
        assert_eq!(shows("Old news"), [false; 4]);
        assert_eq!(site.visit(path, None).unwrap().status, 404);
    });
}

#[test]
fn nobody_from_outside_purges() {
    on_the_site(|site| {
        assert_eq!(purge(site, "/", &[]).status, 200);
        // As a proxy on this machine passes it on.
        assert_eq!(purge(site, "/", &[("X-Forwarded-For", "192.0.2.1")]).status, 405);
    });
}

/// What WordPress is asked as somebody who has not logged in.
#[track_caller]
fn anonymous(site: &Site, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let headers: Vec<(&str, &str)> = [("Host", HOST)].iter().chain(headers).copied().collect();
    let url = format!("{}{path}", site.varnish.url());
    request(method, &url, &headers, b"", waypost_e2e::DEADLINE).unwrap()
}

#[test]
fn a_form_keeps_its_cookies_and_a_page_has_none() {
    on_the_site(|site| {
        site.wordpress(
            "file_put_contents(WPMU_PLUGIN_DIR.'/cart.php', '<?php add_action(\"send_headers\", \
             fn () => header(\"X-Cart: \".($_COOKIE[\"cart\"] ?? \"none\")));');",
        );
        let cart = |method: &str| {
            assert_eq!(purge(site, "/", &[]).status, 200);
            let answer = anonymous(site, method, "/", &[("Cookie", "cart=full")]);
            answer.header("x-cart").map(str::to_owned)
        };
        let seen = ["POST", "GET"].map(cart);
        site.wordpress("unlink(WPMU_PLUGIN_DIR.'/cart.php');");
        assert_eq!(purge(site, "/", &[]).status, 200);
        assert_eq!(seen, ["full", "none"].map(|cart| Some(cart.to_owned())));
    });
}

#[test]
fn a_page_that_was_asked_for_by_another_method_is_the_page_for_the_next_visitor() {
    on_the_site(|site| {
        let path = "/wp-json/wp/v2/posts?per_page=1";
        let page = site.page(path);
        assert!(page.contains("\"link\""), "{page}");
        for method in ["HEAD", "OPTIONS", "DELETE"] {
            assert_eq!(purge(site, path, &[]).status, 200);
            let answer = anonymous(site, "GET", path, &[("X-HTTP-Method-Override", method)]);
            assert_eq!((answer.status, answer.text()), (200, page.clone()), "{method}");
            assert_eq!(site.page(path), page, "after {method}");
        }
    });
}
