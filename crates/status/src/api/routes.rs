//! Who gets what: the paths of the API.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get};
use waypost_backend::View;
use waypost_model::{Key, Prefix};

use super::refusal::Refusal;
use super::{Shared, answer, events, now};

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);

const OPENAPI: &str = include_str!("openapi.json");

type Api = State<Arc<Shared>>;
type Name = Result<Path<String>, PathRejection>;
type Asked = Result<Query<Vec<(String, String)>>, QueryRejection>;
type Answer = Result<Response, Refusal>;

/// Every path, with who answers.
pub(super) fn paths() -> [(&'static str, MethodRouter<Arc<Shared>>); 6] {
    [
        ("/v1/services", get(services)),
        ("/v1/services/{*name}", get(service)),
        ("/v1/events", get(stream)),
        ("/v1/keys/{*key}", get(keys)),
        ("/v1/health", get(health)),
        ("/v1/openapi.json", get(openapi)),
    ]
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    paths()
        .into_iter()
        .fold(Router::new(), |router, (path, who)| router.route(path, who))
        .fallback(|| async { Refusal::missing("there is no such path: see /v1/openapi.json") })
        .method_not_allowed_fallback(|| async { Refusal::only_get() })
        .with_state(shared)
}

async fn services(State(shared): Api, asked: Asked) -> Answer {
    parameters(asked, &[])?;
    shared.permits()?;
    let picture = shared.wait(Duration::ZERO, |_| true).await?;
    Ok(Json(answer::services(&picture, &shared.settings.services, now())).into_response())
}

async fn service(State(shared): Api, name: Name, asked: Asked) -> Answer {
    let parameters = parameters(asked, &["wait", "version"])?;
    let name = service_name(&path(name)?)?;
    let wait = wait_of(&parameters)?;
    shared.permits()?;
    let version = first(&parameters, "version");
    let root = &shared.settings.services;
    let (keys, mut seen) = (Prefix::new(&format!("{}/{name}", root.as_str())), None::<View>);
    let is_news = |picture: &super::Picture| {
        let Some(view) = picture.view() else { return false };
        // Many may wait, and most changes are elsewhere: those cost nobody a look at all instances.
        let seen = seen.replace(view.clone());
        let is_touched = seen.is_none_or(|seen| seen.differences(view).iter().any(|key| keys.contains(key)));
        is_touched && Some(&*view.service(root, &name).service.version()) != version
    };
    let picture = shared.wait(wait, is_news).await?;
    Ok(Json(answer::service(&picture, root, &name, now())).into_response())
}

async fn stream(State(shared): Api, asked: Asked) -> Answer {
    let parameters = parameters(asked, &["service"])?;
    let names = parameters.iter().map(|(_, name)| service_name(name)).collect::<Result<Vec<_>, _>>()?;
    shared.permits()?;
    let body = events::stream(shared, names)?;
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

async fn keys(State(shared): Api, key: Name, asked: Asked) -> Answer {
    let parameters = parameters(asked, &["recursive"])?;
    let key = format!("/{}", path(key)?);
    let is_recursive = match first(&parameters, "recursive") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Refusal::invalid("`recursive` must be true or false")),
    };
    shared.permits()?;
    let key = Key::new(key).map_err(|why| Refusal::invalid(why.to_string()))?;
    if !shared.settings.keys.iter().any(|prefix| prefix.contains(&key)) {
        return Err(Refusal::forbidden(format!("{key} is not below a prefix that `keys` of [api] names")));
    }
    let picture = shared.wait(Duration::ZERO, |_| true).await?;
    let found = if is_recursive {
        let too_much =
            || Refusal::invalid(format!("{key} holds too much for one answer: ask for less of it"));
        answer::keys(&picture, &Prefix::new(key.as_str())).ok_or_else(too_much)?
    } else {
        answer::key(&picture, key.as_str())
            .ok_or_else(|| Refusal::missing(format!("there is no key {key}")))?
    };
    Ok(Json(found).into_response())
}

async fn health(State(shared): Api, asked: Asked) -> Answer {
    parameters(asked, &[])?;
    Ok(Json(answer::health(&shared.picture(), now())).into_response())
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

impl Shared {
    fn permits(&self) -> Result<(), Refusal> {
        if self.settings.secret {
            return Err(Refusal::forbidden(
                "the registry is marked as secret (`secret` of [api]): it is not served",
            ));
        }
        Ok(())
    }
}

/// What stands behind the question mark, if only what is known does.
fn parameters(asked: Asked, known: &[&str]) -> Result<Vec<(String, String)>, Refusal> {
    let Query(parameters) = asked.map_err(|why| Refusal::invalid(why.body_text()))?;
    match parameters.iter().find(|(name, _)| !known.contains(&&**name)) {
        Some((name, _)) => Err(Refusal::invalid(format!("there is no parameter {name:?} here"))),
        None => Ok(parameters),
    }
}

fn first<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(given, _)| given == name).map(|(_, value)| &**value)
}

fn path(name: Name) -> Result<String, Refusal> {
    name.map(|Path(name)| name).map_err(|why| Refusal::invalid(why.body_text()))
}

fn service_name(text: &str) -> Result<String, Refusal> {
    let name = text.trim_matches('/');
    match Key::new(name.to_owned()) {
        Ok(_) => Ok(name.to_owned()),
        Err(why) => Err(Refusal::invalid(format!("it is no name of a service: {why}"))),
    }
}

fn wait_of(parameters: &[(String, String)]) -> Result<Duration, Refusal> {
    let Some(text) = first(parameters, "wait") else { return Ok(Duration::ZERO) };
    let wait = humantime::parse_duration(text);
    let wait = wait.map_err(|why| Refusal::invalid(format!("`wait`: {why}; write it as 30s or 1m30s")))?;
    Ok(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_the_paths_of_the_router_and_no_others() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let documented: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let served = paths().map(|(path, _)| path.replace("{*", "{"));
        assert_eq!(documented, served.into_iter().collect());
        for (path, methods) in document["paths"].as_object().unwrap() {
            assert!(methods.as_object().unwrap().keys().eq(["get"]), "{path}");
        }
    }

    #[test]
    fn a_wait_is_a_time_of_five_minutes_at_most() {
        let wait = |text: &str| wait_of(&[("wait".to_owned(), text.to_owned())]);
        assert_eq!(wait("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(wait("2h"), Ok(LONGEST));
        assert_eq!(wait_of(&[]), Ok(Duration::ZERO));
        assert!(wait("30").is_err() && wait("-1s").is_err() && wait("").is_err());
    }

    #[test]
    fn a_service_may_have_slashes_in_its_name() {
        assert_eq!(service_name("shop/db/"), Ok("shop/db".to_owned()));
        assert!(service_name("/").is_err() && service_name("a\0b").is_err());
    }
}
