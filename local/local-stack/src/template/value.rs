//! Reading resolved parts of a template.

use std::str::FromStr;

use super::fault::Fault;
use super::yaml::{Content, Node};

/// A part of the template without functions in it any more, which knows where it stands.
#[derive(Clone, Debug)]
pub(super) struct Value {
    node: Node,
    place: String,
}

impl Value {
    pub(super) fn new(node: Node, place: impl Into<String>) -> Self {
        Self {
            node,
            place: place.into(),
        }
    }

    pub(super) fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault::new(self.node.line, &self.place, problem)
    }

    /// The value of a key; `None` if the key is missing or its value null.
    pub(super) fn get(&self, key: &str) -> Result<Option<Value>, Fault> {
        match &self.node.content {
            Content::Map(_) => Ok(self
                .node
                .get(key)
                .filter(|node| node.content != Content::Null)
                .map(|node| Value::new(node.clone(), format!("{}.{key}", self.place)))),
            _ => Err(self.unexpected("a map")),
        }
    }

    pub(super) fn require(&self, key: &str) -> Result<Value, Fault> {
        self.get(key)?
            .ok_or_else(|| self.fault(format!("{key} is missing")))
    }

    pub(super) fn text(&self) -> Result<&str, Fault> {
        self.node.as_text().ok_or_else(|| self.unexpected("a text"))
    }

    /// A number, or another kind of value that is written as one word.
    pub(super) fn parse<T: FromStr>(&self, expected: &str) -> Result<T, Fault> {
        let text = self.text()?;
        text.parse()
            .map_err(|_| self.fault(format!("expected {expected}, found {text:?}")))
    }

    pub(super) fn list(&self) -> Result<Vec<Value>, Fault> {
        match &self.node.content {
            Content::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, item)| Value::new(item.clone(), format!("{}[{index}]", self.place)))
                .collect()),
            _ => Err(self.unexpected("a list")),
        }
    }

    pub(super) fn texts(&self) -> Result<Vec<String>, Fault> {
        self.list()?
            .iter()
            .map(|item| item.text().map(str::to_owned))
            .collect()
    }

    pub(super) fn entries(&self) -> Result<Vec<(String, Value)>, Fault> {
        match &self.node.content {
            Content::Map(entries) => Ok(entries
                .iter()
                .map(|(key, node)| {
                    (
                        key.clone(),
                        Value::new(node.clone(), format!("{}.{key}", self.place)),
                    )
                })
                .collect()),
            _ => Err(self.unexpected("a map")),
        }
    }

    fn unexpected(&self, expected: &str) -> Fault {
        self.fault(format!("expected {expected}, found {}", self.node.kind()))
    }
}
