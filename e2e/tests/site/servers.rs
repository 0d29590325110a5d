//! Web servers come, go, die and reload behind Varnish.

use waypost_e2e::DEADLINE;
use waypost_e2e::site::Site;
use waypost_servers::wait_until;

use crate::on_the_site;
use crate::visitors::{PASSED, PICTURE, Seen, Visitors};

/// Of this many requests one may be lost when a server dies without a word.
const ONE_OF: usize = 1_000;

/// Visitors of pages and of pictures, all of which Varnish must ask a web server for.
fn visitors(site: &Site) -> [Visitors; 2] {
    let url = site.varnish.url();
    [Visitors::of(&url, &["/", "/feed/"], PASSED, 2), Visitors::of(&url, &[PICTURE], None, 4)]
}

fn leave(visitors: [Visitors; 2]) -> Seen {
    let [mut pages, pictures] = visitors.map(Visitors::leave);
    for (handler, count) in pictures.handlers {
        *pages.handlers.entry(handler).or_default() += count;
    }
    pages.lost.extend(pictures.lost);
    pages
}

#[test]
fn s2_ten_switches_from_one_web_server_to_the_other_lose_no_request() {
    on_the_site(|site| {
        site.withdraw_server(1);
        site.wait_for_servers(&[0]);
        let visitors = visitors(site);
        for switch in 0..10 {
            let (goes, comes) = (switch % 2, 1 - switch % 2);
            site.announce_server(comes);
            site.wait_for_servers(&[0, 1]);
            site.withdraw_server(goes);
            site.wait_for_servers(&[comes]);
            visitors[1].wait_for_more(50);
        }
        let seen = leave(visitors);
        assert_eq!(seen.lost, [""; 0], "of {}: {}", seen.answered(), site.agent.log());
        let asked: Vec<&String> = seen.handlers.keys().collect();
        assert_eq!(asked.len(), 2, "both have answered: {:?}", seen.handlers);
    });
}

#[test]
fn s3_a_web_server_that_is_killed_without_a_word_costs_at_most_one_request_in_a_thousand() {
    on_the_site(|site| {
        let visitors = visitors(site);
        visitors[1].wait_for_more(200);
        site.servers[0].kill();
        // The probe finds it first, the end of the lease takes it out.
        visitors[1].wait_for_more(2 * ONE_OF);
        site.wait_for_servers(&[1]);
        let seen = leave(visitors);
        assert!(seen.handlers[&site.servers[0].handler()] > 0, "it was asked: {:?}", seen.handlers);
        assert!(seen.lost.len() <= seen.answered() / ONE_OF, "of {}: {:#?}", seen.answered(), seen.lost);
    });
}

#[test]
fn a_web_server_whose_php_is_killed_costs_at_most_one_request_in_a_thousand() {
    on_the_site(|site| {
        let visitors = visitors(site);
        visitors[1].wait_for_more(200);
        site.servers[1].kill_php();
        site.wait_for_servers(&[0]);
        visitors[1].wait_for_more(2 * ONE_OF);
        let seen = leave(visitors);
        assert!(seen.lost.len() <= seen.answered() / ONE_OF, "of {}: {:#?}", seen.answered(), seen.lost);
    });
}

#[test]
fn s6_a_web_server_that_varnish_cannot_accept_changes_nothing_and_is_told() {
    on_the_site(|site| {
        let active = site.varnish.active_vcl();
        let visitors = visitors(site);
        // Names that differ in a dot only become one in VCL, where no name may be twice.
        for name in ["one.two", "one_two"] {
            site.etcd.put(&format!("/services/web/{name}"), "127.0.0.1:9");
        }
        site.agent.wait_logged(&["reload failed", "varnishd"]);
        site.agent.wait_logged(&["Backend 'web_one_two_127_0_0_1_9' redefined"]);
        visitors[0].wait_for_more(20);
        assert_eq!(site.varnish.active_vcl(), active);
        site.etcd.delete_prefix("/services/web/one");
        site.wait_for_servers(&[0, 1]);
        let seen = leave(visitors);
        assert_eq!(seen.lost, [""; 0], "of {}: {}", seen.answered(), site.agent.log());
    });
}

#[test]
fn s7_reloads_of_nginx_behind_varnish_lose_no_request() {
    on_the_site(|site| {
        let visitors = visitors(site);
        for reload in 0..12 {
            let nginx = &site.servers[reload % 2].nginx;
            let old = nginx.workers();
            nginx.reload();
            // nginx 1.22 breaks off what an old worker answers if it is told to reload once more meanwhile,
            // and so again and again: `min_reload_interval` is there to leave it the time.
            let is_through = |workers: Vec<u32>| workers.len() == 1 && workers != old;
            wait_until("the end of the old worker", DEADLINE, || is_through(nginx.workers()));
            // An old worker may break off a page that it is in the middle of. Varnish has that made anew,
            // three times: on a slow machine one page could meet as many reloads, if they came at once.
            visitors[0].wait_for_more(4);
        }
        let seen = leave(visitors);
        assert_eq!(seen.lost, [""; 0], "of {}: {}", seen.answered(), site.agent.log());
    });
}
