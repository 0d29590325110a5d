//! A consistent ring for caches, which puts every key on the server on which libmemcached's ketama puts it.
//!
//! Among servers of equal weight a key stays where it is when servers come and go, but for the share that must
//! move (and what rounding moves with some numbers of servers, 25 the first). The order is that of
//! `MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED` (php-memcached's `OPT_LIBKETAMA_COMPATIBLE`), so that programs in
//! several languages share one pool: `awesomized/libmemcached: src/libmemcached/hosts.cc`
//! (`update_continuum`), `hash.cc` and `src/libhashkit/ketama.cc`.

use md5::{Digest, Md5};
use waypost_model::{Endpoint, Instance};

/// Points of a server of average weight: 40 hashes, each of which makes four.
const POINTS: f32 = 160.0;

/// What libmemcached leaves out of a server's name.
const DEFAULT_PORT: u16 = 11211;

/// Caches in the order of their points on a ring.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    servers: Vec<Endpoint>,
    /// Places on the ring in rising order, each with the index of its server.
    points: Vec<(u32, usize)>,
}

impl Ring {
    /// A ring of these instances, by weight; their order does not matter. Those of weight 0 are left out.
    pub fn of(instances: &[Instance]) -> Ring {
        let mut servers: Vec<(Endpoint, u32)> = instances
            .iter()
            .filter(|instance| instance.weight > 0)
            .map(|instance| (instance.endpoint.clone(), instance.weight))
            .collect();
        servers.sort_unstable();
        servers.dedup_by(|one, other| one.0 == other.0);
        let total: u64 = servers.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut points = Vec::new();
        for (index, (endpoint, weight)) in servers.iter().enumerate() {
            let name = name(endpoint);
            for number in 0..hashes(*weight, total, servers.len()) {
                points.extend(places(format!("{name}-{number}")).map(|place| (place, index)));
            }
        }
        points.sort_unstable();
        Ring { servers: servers.into_iter().map(|(endpoint, _)| endpoint).collect(), points }
    }

    /// The server of `key`; none if there is no server.
    pub fn server(&self, key: impl AsRef<[u8]>) -> Option<&Endpoint> {
        let [place, ..] = places(key);
        let next = self.points.partition_point(|(point, _)| *point < place);
        let (_, index) = self.points.get(next).or_else(|| self.points.first())?;
        self.servers.get(*index)
    }

    /// The servers.
    pub fn servers(&self) -> &[Endpoint] {
        &self.servers
    }
}

fn name(endpoint: &Endpoint) -> String {
    match endpoint.port() {
        DEFAULT_PORT => endpoint.host().to_owned(),
        port => format!("{}:{port}", endpoint.host()),
    }
}

/// How many hashes a server of this weight gets; with libmemcached's rounding, which is that of floats.
#[allow(clippy::cast_precision_loss, reason = "libmemcached loses it, too")]
fn hashes(weight: u32, total: u64, servers: usize) -> u32 {
    let share = weight as f32 / total as f32;
    let hashes = f64::from(share * POINTS / 4.0 * servers as f32) + 0.000_000_000_1;
    (hashes as f32).floor() as u32
}

/// The four places of a text: its MD5 in four numbers, each with the least byte first. A key has the first.
fn places(text: impl AsRef<[u8]>) -> [u32; 4] {
    let digest = Md5::digest(text);
    [0, 4, 8, 12].map(|at| u32::from_le_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]]))
}
