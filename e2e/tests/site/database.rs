//! The database dies, and moves.

use std::time::Duration;

use waypost_e2e::DEADLINE;
use waypost_e2e::site::{Site, visit};
use waypost_servers::{MariaDb, wait_until};

use crate::on_the_site;
use crate::visitors::{PASSED, Visitors};

/// The agent writes `services.php` once in this time at most, and at once after it.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

fn age(site: &Site) -> u64 {
    let front = site.visit("/", None).unwrap();
    front.header("age").and_then(|age| age.parse().ok()).unwrap_or(0)
}

/// How many pages are being made out of it.
fn readers(database: &MariaDb) -> String {
    let rows = database.query("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'wordpress'");
    rows.concat()
}

#[test]
fn s4_while_the_database_is_down_every_page_that_is_cached_is_served() {
    on_the_site(|site| {
        let posts = posts(site);
        let paths: Vec<&str> = ["/", "/feed/"].into_iter().chain(posts.iter().map(String::as_str)).collect();
        for path in &paths {
            site.page(path);
        }
        site.database.kill();
        let visitors = Visitors::of(&site.varnish.url(), &paths, None, 4);
        // Older than a page may get while all is well.
        wait_until("pages that are old", DEADLINE, || age(site) >= 3);
        let direct = visit(&site.servers[0].nginx.url(), "/", None).unwrap();
        assert_eq!(direct.status, 500, "without the cache there is nothing to see: {}", direct.text());
        visitors.wait_for_more(500);

        site.database.start_again();
        wait_until("pages that are new", DEADLINE, || age(site) <= 1);
        let seen = visitors.leave();
        assert_eq!(seen.lost, [""; 0], "of {}", seen.answered());
    });
}

/// The addresses of some posts, below the site's.
fn posts(site: &Site) -> Vec<String> {
    let code = "foreach (get_posts(['numberposts' => 5]) as $post) \
        echo wp_make_link_relative(get_permalink($post)), ' ';";
    site.wordpress(code).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn s5_a_move_of_the_database_fails_no_page() {
    on_the_site(|site| {
        site.spare.start_again();
        site.spare
            .execute("UPDATE wordpress.wp_options SET option_value = 'Moved' WHERE option_name = 'blogname'");
        let visitors = Visitors::of(&site.varnish.url(), &["/", "/feed/"], PASSED, 4);
        visitors.wait_for_more(20);

        let _new = site.announce_database("db-2", &site.spare);
        site.wait_for_databases(&[&site.database, &site.spare]);
        site.announcer.take().unwrap().stop();
        site.wait_for_databases(&[&site.spare]);
        wait_until("the last page of the old one", DEADLINE, || readers(&site.database) == "0");
        site.database.stop();
        visitors.wait_for_more(40);

        let seen = visitors.leave();
        assert_eq!(seen.lost, [""; 0], "of {}", seen.answered());
        let page = site.visit("/", PASSED).unwrap().text();
        assert!(page.contains("<title>Moved</title>"), "pages come from the new one");
    });
}

#[test]
fn a_page_waits_for_a_database_that_is_on_its_way() {
    on_the_site(|site| {
        site.announcer.take().unwrap().stop();
        site.spare.start_again();
        site.wait_for_databases(&[]);
        let is_quiet = || site.services_age() > WRITE_INTERVAL;
        wait_until("the time of the next write", DEADLINE, is_quiet);

        let visitors = Visitors::of(&site.varnish.url(), &["/"], PASSED, 4);
        wait_until("four pages under way", DEADLINE, || visitors.waiting() == 4);
        site.etcd.put("/services/db/new", site.spare.endpoint());
        visitors.wait_for_more(20);
        let seen = visitors.leave();
        site.etcd.delete("/services/db/new");
        assert_eq!(seen.lost, [""; 0], "of {}", seen.answered());
    });
}

#[test]
fn a_database_that_never_speaks_is_passed_over_for_the_next() {
    on_the_site(|site| {
        site.spare.start_again();
        site.spare.pause();
        site.etcd.put("/services/db/a-silent-one", site.spare.endpoint());
        site.wait_for_databases(&[&site.spare, &site.database]);
        let page = site.visit("/", PASSED).unwrap();
        site.etcd.delete("/services/db/a-silent-one");
        site.spare.kill();
        assert_eq!(page.status, 200, "{}", page.text());
    });
}
