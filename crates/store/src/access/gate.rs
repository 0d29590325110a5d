//! Who is it? A token, a certificate's name, or a name with its password.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tonic::Request;
use tonic::metadata::MetadataMap;

use super::User;
use super::caller::{Caller, Rights, digest};
use super::tokens::Tokens;
use crate::error::Refusal;

/// What each wrong password costs all that are guessing.
const GUESS: Duration = Duration::from_millis(50);

/// Logins that may wait for their turn; more are told to come back.
const WAITING: usize = 100;

/// What is logged of a name that nobody has.
const NAME_IN_LOG: usize = 64;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The common name of its certificate, which was checked.
    pub(crate) name: Option<Arc<str>>,
    /// The address that it connected to.
    pub(crate) local: SocketAddr,
}

/// What a request shows of who sent it.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    token: Option<String>,
    name: Option<Arc<str>>,
}

impl Credentials {
    pub(crate) fn of<T>(request: &Request<T>) -> Credentials {
        let peer = request.extensions().get::<Peer>();
        Credentials { token: token(request.metadata()), name: peer.and_then(|peer| peer.name.clone()) }
    }
}

/// Source: etcd's `rpctypes/metadatafields.go`. One that is no text is none that was given out.
fn token(metadata: &MetadataMap) -> Option<String> {
    let token = metadata.get("token").or_else(|| metadata.get("authorization"))?;
    Some(token.to_str().unwrap_or_default().to_owned())
}

/// The users, and the tokens of those who have logged in.
#[derive(Debug)]
pub(crate) struct Gate {
    users: HashMap<String, Arc<Rights>>,
    tokens: Mutex<Tokens>,
    guessing: tokio::sync::Mutex<()>,
    /// Those who wait for their turn to log in.
    waiting: Semaphore,
}

impl Gate {
    pub(crate) fn new(users: &[User]) -> Gate {
        let rights = |user: &User| (user.name.clone(), Arc::new(Rights::of(user)));
        Gate {
            users: users.iter().map(rights).collect(),
            tokens: Mutex::default(),
            guessing: tokio::sync::Mutex::default(),
            waiting: Semaphore::new(WAITING),
        }
    }

    /// Who it is; a token that is shown and not good is an error, whatever else is shown.
    pub(crate) fn caller(&self, shown: &Credentials) -> Result<Caller, Refusal> {
        if self.users.is_empty() {
            return Ok(Caller::Anybody);
        }
        match (&shown.token, &shown.name) {
            (Some(token), _) => {
                let owner = self.tokens().owner(token, Instant::now());
                owner.map(Caller::User).ok_or(Refusal::InvalidAuthToken)
            }
            (None, Some(name)) => {
                let user = self.users.get(&**name);
                Ok(user.map_or(Caller::Stranger, |user| Caller::User(Arc::clone(user))))
            }
            (None, None) => Ok(Caller::Nobody),
        }
    }

    /// Exchanges a password for a token.
    pub(crate) async fn log_in(&self, name: &str, password: &str) -> Result<String, Refusal> {
        if self.users.is_empty() {
            return Err(Refusal::AuthNotEnabled);
        }
        if name.is_empty() {
            return Err(Refusal::UserEmpty);
        }
        // The turn comes before the look: who guesses at many passwords at once learns of one at a time.
        let place = self.waiting.try_acquire().map_err(|_| Refusal::TooManyRequests)?;
        let turn = self.guessing.lock().await;
        let Some(user) = self.proven(name, password) else {
            let name: String = name.chars().take(NAME_IN_LOG).collect();
            tracing::warn!(user = name, "a login was refused: no such user, or another password");
            tokio::time::sleep(GUESS).await;
            return Err(Refusal::AuthFailed);
        };
        drop((turn, place));
        let token = random();
        self.tokens().add(token.clone(), user, Instant::now());
        Ok(token)
    }

    fn proven(&self, name: &str, password: &str) -> Option<Arc<Rights>> {
        let user = self.users.get(name)?;
        let is_same = is_same(&user.password?, &digest(password));
        is_same.then(|| Arc::clone(user))
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares in a time that tells nothing about where they differ.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differing = one.iter().zip(other).fold(0, |bits, (one, other)| bits | (one ^ other));
    std::hint::black_box(differing) == 0
}

/// 128 bits that nobody guesses, as text.
fn random() -> String {
    let mut bytes = [0; 16];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).expect("the system's random numbers do not fail once it has started");
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let user = |name: &str, password: Option<&str>| User {
            name: name.to_owned(),
            password: password.map(|password| password.to_owned().into()),
            read: Vec::new(),
            write: Vec::new(),
            admin: false,
        };
        Gate::new(&[user("web", Some("secret")), user("certified", None)])
    }

    fn shown(token: Option<&str>, name: Option<&str>) -> Credentials {
        Credentials { token: token.map(str::to_owned), name: name.map(Into::into) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_is_exchanged_for_a_token() {
        let gate = gate();
        let token = gate.log_in("web", "secret").await.unwrap();
        let caller = gate.caller(&shown(Some(&token), None));
        assert!(matches!(&caller, Ok(Caller::User(user)) if user.name == "web"), "{caller:?}");
        assert_ne!(gate.log_in("web", "secret").await.unwrap(), token);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_password_is_as_good_as_no_user() {
        let gate = gate();
        for (name, password) in
            [("web", "secre"), ("web", ""), ("nobody", "secret"), ("certified", ""), ("certified", "secret")]
        {
            assert_eq!(gate.log_in(name, password).await, Err(Refusal::AuthFailed), "{name} {password}");
        }
        assert_eq!(gate.log_in("", "secret").await, Err(Refusal::UserEmpty));
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_wait_for_each_other() {
        let (gate, start) = (gate(), tokio::time::Instant::now());
        let guesses = (0..20).map(|_| gate.log_in("web", "wrong"));
        futures::future::join_all(guesses).await;
        assert_eq!(start.elapsed(), 20 * GUESS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_guess_among_wrong_ones_has_its_turn_too_and_too_many_are_sent_away() {
        let (gate, start) = (gate(), tokio::time::Instant::now());
        let guess = |number: usize| {
            let gate = &gate;
            async move { gate.log_in("web", if number == 10 { "secret" } else { "wrong" }).await }
        };
        let guesses = futures::future::join_all((0..WAITING + 5).map(guess)).await;
        assert_eq!(start.elapsed(), GUESS * u32::try_from(WAITING - 1).unwrap());
        assert!(guesses[10].is_ok());
        let sent_away = |outcome: &&Result<String, Refusal>| **outcome == Err(Refusal::TooManyRequests);
        assert_eq!(guesses.iter().filter(sent_away).count(), 5);
    }

    #[tokio::test]
    async fn without_users_everybody_may_come_in_and_nobody_can_log_in() {
        let gate = Gate::new(&[]);
        assert!(matches!(gate.caller(&shown(None, None)), Ok(Caller::Anybody)));
        assert!(matches!(gate.caller(&shown(Some("stale"), None)), Ok(Caller::Anybody)));
        assert_eq!(gate.log_in("web", "secret").await, Err(Refusal::AuthNotEnabled));
    }

    #[test]
    fn a_certificate_stands_for_a_password_unless_a_token_is_shown() {
        let gate = gate();
        assert!(matches!(gate.caller(&shown(None, Some("certified"))), Ok(Caller::User(_))));
        assert!(matches!(gate.caller(&shown(None, Some("unknown"))), Ok(Caller::Stranger)));
        assert!(matches!(gate.caller(&shown(None, None)), Ok(Caller::Nobody)));
        let stale = gate.caller(&shown(Some("stale"), Some("certified")));
        assert_eq!(stale.unwrap_err(), Refusal::InvalidAuthToken);
    }

    #[test]
    fn a_token_comes_under_either_name() {
        let mut request = Request::new(());
        assert_eq!(Credentials::of(&request).token, None);
        request.metadata_mut().insert("authorization", "b".parse().unwrap());
        assert_eq!(Credentials::of(&request).token.as_deref(), Some("b"));
        request.metadata_mut().insert("token", "a".parse().unwrap());
        assert_eq!(Credentials::of(&request).token.as_deref(), Some("a"));
    }
}
