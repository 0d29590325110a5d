//! Tokens: what a user who has logged in shows instead of a password.
//!
//! As etcd's simple tokens, one lives for five minutes after its last use, in memory only: after a restart
//! clients log in again, which they do by themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::caller::Rights;

/// Source: etcd's `auth/simple_token.go`, `simpleTokenTTLDefault`.
const TTL: Duration = Duration::from_secs(300);

/// Of one user; one that logs in without end only loses its own.
const MOST: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<String, Token>);

#[derive(Debug)]
struct Token {
    user: Arc<Rights>,
    until: Instant,
}

impl Tokens {
    /// Remembers a new token of the user; the one that was used least lately goes if there are too many.
    pub(super) fn add(&mut self, token: String, user: Arc<Rights>, now: Instant) {
        self.0.retain(|_, token| token.until > now);
        let theirs = self.0.iter().filter(|(_, token)| token.user.name == user.name);
        if theirs.clone().count() >= MOST
            && let Some(oldest) = theirs.min_by_key(|(_, token)| token.until).map(|(token, _)| token.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.insert(token, Token { user, until: now + TTL });
    }

    /// Whose token it is, which lives on from now; none if it is unknown or too old.
    pub(super) fn owner(&mut self, token: &str, now: Instant) -> Option<Arc<Rights>> {
        let token = self.0.get_mut(token).filter(|token| token.until > now)?;
        token.until = now + TTL;
        Some(Arc::clone(&token.user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::User;

    fn user(name: &str) -> Arc<Rights> {
        let user =
            User { name: name.to_owned(), password: None, read: Vec::new(), write: Vec::new(), admin: false };
        Arc::new(Rights::of(&user))
    }

    #[test]
    fn a_token_lives_for_five_minutes_after_its_last_use() {
        let (mut tokens, start) = (Tokens::default(), Instant::now());
        tokens.add("t".to_owned(), user("web"), start);
        let nearly = TTL.checked_sub(Duration::from_secs(1)).unwrap();
        assert!(tokens.owner("t", start + nearly).is_some());
        assert!(tokens.owner("t", start + 2 * nearly).is_some(), "it was used meanwhile");
        assert!(tokens.owner("t", start + 2 * nearly + TTL).is_none());
        assert!(tokens.owner("u", start).is_none());
    }

    #[test]
    fn one_user_cannot_push_out_the_tokens_of_another() {
        let (mut tokens, start) = (Tokens::default(), Instant::now());
        tokens.add("other".to_owned(), user("other"), start);
        for number in 0..=MOST {
            tokens.add(number.to_string(), user("web"), start + Duration::from_millis(number as u64));
        }
        let now = start + Duration::from_secs(2);
        assert!(tokens.owner("other", now).is_some());
        assert!(tokens.owner("0", now).is_none(), "the oldest had to go");
        assert!(tokens.owner("1", now).is_some());
        assert_eq!(tokens.0.len(), MOST + 1);
    }

    #[test]
    fn tokens_that_have_expired_take_no_room() {
        let (mut tokens, start) = (Tokens::default(), Instant::now());
        tokens.add("old".to_owned(), user("web"), start);
        tokens.add("new".to_owned(), user("web"), start + 2 * TTL);
        assert_eq!(tokens.0.len(), 1);
    }
}
