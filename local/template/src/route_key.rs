//! Route keys, such as `POST /token`, and the requests that they match.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// The key of a route: a method or `ANY`, and a path that may have `{parameters}` and end in a greedy `{proxy+}`.
///
/// `$default` matches the requests that no other route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteKey {
    text: String,
    pattern: Option<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// `None` is `ANY`.
    method: Option<String>,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
    Greedy(String),
}

/// A string that is not a route key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRouteKey {
    /// It has another form.
    #[error("expected \"METHOD /path\" or \"$default\", found {0:?}")]
    Malformed(String),
    /// It goes on after a greedy parameter.
    #[error("a greedy parameter must be the last segment, found {0:?}")]
    GreedyNotLast(String),
}

/// How specifically a route matches a request; the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fit {
    is_not_default: bool,
    is_not_greedy: bool,
    literal_segments: usize,
    names_the_method: bool,
}

impl FromStr for RouteKey {
    type Err = InvalidRouteKey;

    fn from_str(text: &str) -> Result<Self, InvalidRouteKey> {
        let malformed = || InvalidRouteKey::Malformed(text.to_owned());
        if text == "$default" {
            return Ok(Self {
                text: text.to_owned(),
                pattern: None,
            });
        }
        let (method, path) = text.split_once(' ').ok_or_else(malformed)?;
        let path = path.strip_prefix('/').ok_or_else(malformed)?;
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(malformed());
        }
        let segments: Vec<_> = path.split('/').map(segment).collect();
        if segments
            .iter()
            .rev()
            .skip(1)
            .any(|segment| matches!(segment, Segment::Greedy(_)))
        {
            return Err(InvalidRouteKey::GreedyNotLast(text.to_owned()));
        }
        let method = (method != "ANY").then(|| method.to_owned());
        Ok(Self {
            text: text.to_owned(),
            pattern: Some(Pattern { method, segments }),
        })
    }
}

impl RouteKey {
    /// Returns the key as it is in the template.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns how specifically the route matches a request, and the parameters of the path; `None` if it does not match.
    #[must_use]
    pub fn fit(&self, method: &str, path: &str) -> Option<(Fit, BTreeMap<String, String>)> {
        let Some(pattern) = &self.pattern else {
            let fit = Fit {
                is_not_default: false,
                is_not_greedy: false,
                literal_segments: 0,
                names_the_method: false,
            };
            return Some((fit, BTreeMap::new()));
        };
        if pattern
            .method
            .as_deref()
            .is_some_and(|named| named != method)
        {
            return None;
        }
        let mut parameters = BTreeMap::new();
        let mut fit = Fit {
            is_not_default: true,
            is_not_greedy: true,
            literal_segments: 0,
            names_the_method: pattern.method.is_some(),
        };
        let mut rest = Some(path.strip_prefix('/')?);
        for segment in &pattern.segments {
            let (found, remaining) = match rest? {
                all if matches!(segment, Segment::Greedy(_)) => (all, None),
                all => all
                    .split_once('/')
                    .map_or((all, None), |(found, remaining)| (found, Some(remaining))),
            };
            match segment {
                Segment::Literal(literal) if literal == found => fit.literal_segments += 1,
                Segment::Literal(_) => return None,
                Segment::Parameter(_) | Segment::Greedy(_) if found.is_empty() => return None,
                Segment::Parameter(name) => {
                    parameters.insert(name.clone(), decoded(found));
                }
                Segment::Greedy(name) => {
                    fit.is_not_greedy = false;
                    parameters.insert(name.clone(), decoded(found));
                }
            }
            rest = remaining;
        }
        rest.is_none().then_some((fit, parameters))
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn segment(text: &str) -> Segment {
    match text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
    {
        Some(name) => match name.strip_suffix('+') {
            Some(name) => Segment::Greedy(name.to_owned()),
            None => Segment::Parameter(name.to_owned()),
        },
        None => Segment::Literal(text.to_owned()),
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(key: &str, method: &str, path: &str) -> Option<Vec<(String, String)>> {
        let (_, parameters) = key.parse::<RouteKey>().unwrap().fit(method, path)?;
        Some(parameters.into_iter().collect())
    }

    #[test]
    fn matches_literal_method_and_path_only() {
        let matches = |method, path| parameters("POST /token", method, path).is_some();
        assert!(matches("POST", "/token"));
        for (method, path) in [
            ("GET", "/token"),
            ("POST", "/"),
            ("POST", "/token/"),
            ("POST", "/token/x"),
            ("POST", "/Token"),
            ("POST", "//token"),
        ] {
            assert!(!matches(method, path), "{method} {path}");
        }
    }

    #[test]
    fn decodes_path_parameters() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parameters("GET /u/{id}", "GET", "/u/a%20b"),
            Some(vec![pair("id", "a b")])
        );
        assert_eq!(parameters("GET /u/{id}", "GET", "/u/"), None);
        assert_eq!(parameters("GET /u/{id}", "GET", "/u/a/b"), None);
        assert_eq!(
            parameters("ANY /u/{rest+}", "PUT", "/u/a/b"),
            Some(vec![pair("rest", "a/b")])
        );
        assert_eq!(parameters("$default", "PUT", "/anything"), Some(vec![]));
    }

    #[test]
    fn prefers_most_specific_route() {
        let keys = [
            "$default",
            "ANY /{proxy+}",
            "ANY /u/{id}",
            "GET /u/{id}",
            "ANY /u/me",
            "GET /u/me",
        ];
        let fits: Vec<_> = keys
            .map(|key| {
                key.parse::<RouteKey>()
                    .unwrap()
                    .fit("GET", "/u/me")
                    .unwrap()
                    .0
            })
            .into();
        assert!(fits.is_sorted(), "{fits:?}");
    }

    #[test]
    fn rejects_malformed_route_keys() {
        for key in [
            "",
            "POST",
            "POST token",
            "post /token",
            " /token",
            "ANY /{a+}/b",
        ] {
            assert!(key.parse::<RouteKey>().is_err(), "{key:?}");
        }
    }
}
