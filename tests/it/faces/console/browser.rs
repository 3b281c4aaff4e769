//! What a browser does of its own: it keeps cookies, and sends the fields of a form.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::markup;

#[derive(Clone)]
pub struct Browser {
    router: Router,
    pub cookies: BTreeMap<String, String>,
    pub language: &'static str,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// Where the browser is sent.
    pub fn location(&self) -> &str {
        self.headers.get(LOCATION).map_or("", |location| location.to_str().unwrap())
    }
}

impl Browser {
    pub fn new(router: Router) -> Self {
        Self { router, cookies: BTreeMap::new(), language: "en" }
    }

    pub async fn sign_in(&mut self, user: &str, password: &str) -> Answer {
        self.post("/sign-in", &[("user", user), ("password", password), ("next", "/")], &[]).await
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let response = self.send(Request::get(path), Body::empty()).await;
        self.taken(response).await
    }

    /// A page that is there.
    pub async fn page(&mut self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.text
    }

    /// Sends a form as it is given.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let encoded = |(name, value): &(&str, &str)| {
            let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            format!("{name}={value}")
        };
        let body = fields.iter().map(encoded).collect::<Vec<_>>().join("&");
        let request = Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = self.send(request, Body::from(body)).await;
        self.taken(response).await
    }

    /// Sends a form with the token of a page.
    pub async fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = markup::value_of(&self.page(page).await, "form_token").unwrap();
        let fields = [fields, &[("form_token", token.as_str())]].concat();
        self.post(path, &fields, &[("sec-fetch-site", "same-origin"), ("origin", "http://console.example:8080")]).await
    }

    /// Begins a request and leaves the body to be read.
    pub async fn send(&self, request: http::request::Builder, body: Body) -> Response<Body> {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request
            .header(HOST, "console.example:8080")
            .header(ACCEPT, "text/html")
            .header(ACCEPT_LANGUAGE, self.language)
            .header(COOKIE, cookies.join("; "));
        self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
    }

    async fn taken(&mut self, response: Response<Body>) -> Answer {
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(attributes.contains("HttpOnly") && attributes.contains("SameSite=Strict"), "{cookie}");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }
}
