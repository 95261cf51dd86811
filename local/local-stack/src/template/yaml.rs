//! CloudFormation's YAML: scalars are text, and short tags (`!Ref x`) are spelt out (`Ref: x`).

use saphyr::{MarkedYaml, ScalarStyle, Tag, YamlData, YamlLoader};
use saphyr_parser::Parser;

use super::fault::Fault;

/// A part of the template, and the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) content: Content,
}

/// Scalars stay text as written: CloudFormation gives numbers and booleans their type where they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn text(line: usize, text: impl Into<String>) -> Self {
        Self {
            line,
            content: Content::Text(text.into()),
        }
    }

    pub(super) fn list(line: usize, items: Vec<Node>) -> Self {
        Self {
            line,
            content: Content::List(items),
        }
    }

    /// The value of a key, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// The entries of a map; nothing for anything else.
    pub(super) fn entries(&self) -> &[(String, Node)] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of thing this is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.content {
            Content::Null => "nothing",
            Content::Text(_) => "a text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }
}

/// Reads a template's text, which has to be one YAML document.
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let mut loader = YamlLoader::<'_, MarkedYaml<'_>>::default();
    loader.early_parse(false);
    let scanned = Parser::new_from_str(text).load(&mut loader, true);
    if let Some(error) = scanned.err().or_else(|| loader.error().cloned()) {
        return Err(Fault::new(
            error.marker().line(),
            "",
            format!("not YAML: {}", error.info()),
        ));
    }
    match loader.into_documents().as_slice() {
        [document] => node(document),
        [] => Err(Fault::of_the_file("the file is empty")),
        _ => Err(Fault::of_the_file(
            "the file holds more than one YAML document",
        )),
    }
}

fn node(yaml: &MarkedYaml<'_>) -> Result<Node, Fault> {
    let line = yaml.span.start.line();
    let content = match &yaml.data {
        YamlData::Representation(text, style, tag) => {
            let scalar = Node {
                line,
                content: scalar(text, *style),
            };
            return Ok(match tag {
                Some(tag) => spelt_out(tag, scalar),
                None => scalar,
            });
        }
        YamlData::Tagged(tag, inner) => return Ok(spelt_out(tag, node(inner)?)),
        YamlData::Sequence(items) => {
            Content::List(items.iter().map(node).collect::<Result<_, _>>()?)
        }
        YamlData::Mapping(entries) => {
            let entry = |(key, value): (&MarkedYaml<'_>, &MarkedYaml<'_>)| {
                let key_node = node(key)?;
                match key_node.as_text() {
                    Some(name) => Ok((name.to_owned(), node(value)?)),
                    None => Err(Fault::new(key_node.line, "", "a key has to be a text")),
                }
            };
            Content::Map(entries.iter().map(entry).collect::<Result<_, _>>()?)
        }
        YamlData::Value(_) | YamlData::Alias(_) | YamlData::BadValue => {
            return Err(Fault::new(line, "", "this YAML cannot be understood"));
        }
    };
    Ok(Node { line, content })
}

fn scalar(text: &str, style: ScalarStyle) -> Content {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Content::Null,
        _ => Content::Text(text.to_owned()),
    }
}

/// `!Sub x` is short for `Fn::Sub: x`, and so on, but for `!Ref` and `!Condition`, which have no prefix.
fn spelt_out(tag: &Tag, argument: Node) -> Node {
    if tag.is_yaml_core_schema() {
        return argument;
    }
    let line = argument.line;
    let (key, argument) = match tag.suffix.as_str() {
        short @ ("Ref" | "Condition") => (short.to_owned(), argument),
        "GetAtt" => ("Fn::GetAtt".to_owned(), split_attribute(argument)),
        short => (format!("Fn::{short}"), argument),
    };
    Node {
        line,
        content: Content::Map(vec![(key, argument)]),
    }
}

/// `!GetAtt Resource.Attribute` is short for the two in a list.
fn split_attribute(argument: Node) -> Node {
    match argument.as_text().and_then(|text| text.split_once('.')) {
        Some((resource, attribute)) => {
            let (resource, attribute) = (
                Node::text(argument.line, resource),
                Node::text(argument.line, attribute),
            );
            Node::list(argument.line, vec![resource, attribute])
        }
        None => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without lines, for comparing.
    fn shown(node: &Node) -> String {
        match &node.content {
            Content::Null => "null".to_owned(),
            Content::Text(text) => format!("{text:?}"),
            Content::List(items) => format!(
                "[{}]",
                items.iter().map(shown).collect::<Vec<_>>().join(", ")
            ),
            Content::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{key}: {}", shown(value)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    #[test]
    fn short_tags_are_spelt_out() {
        let cases = [
            ("!Ref Name", r#"{Ref: "Name"}"#),
            (
                "!GetAtt Function.Arn",
                r#"{Fn::GetAtt: ["Function", "Arn"]}"#,
            ),
            (
                "!GetAtt [Function, Arn]",
                r#"{Fn::GetAtt: ["Function", "Arn"]}"#,
            ),
            ("!Sub a${B}", r#"{Fn::Sub: "a${B}"}"#),
            (
                "!Join [',', !Ref List]",
                r#"{Fn::Join: [",", {Ref: "List"}]}"#,
            ),
            (
                "!If [C, !Ref A, !Ref AWS::NoValue]",
                r#"{Fn::If: ["C", {Ref: "A"}, {Ref: "AWS::NoValue"}]}"#,
            ),
            ("!Condition C", r#"{Condition: "C"}"#),
            ("!!str 12", r#""12""#),
        ];
        for (yaml, expected) in cases {
            assert_eq!(shown(&parse(yaml).unwrap()), expected, "{yaml}");
        }
    }

    #[test]
    fn scalars_stay_as_written() {
        let node =
            parse("a: 007\nb: \"null\"\nc: null\nd: yes\ne: 1.0\nf: $default # comment").unwrap();
        assert_eq!(
            shown(&node),
            r#"{a: "007", b: "null", c: null, d: "yes", e: "1.0", f: "$default"}"#
        );
    }

    #[test]
    fn lines_are_counted_from_one() {
        let node = parse("a: 1\nb:\n  c: !Ref X\n").unwrap();
        assert_eq!(node.get("a").unwrap().line, 1);
        assert_eq!(node.get("b").unwrap().get("c").unwrap().line, 3);
    }

    #[test]
    fn broken_yaml_is_said_with_its_line() {
        assert_eq!(parse("a: 1\nb: [1\n").unwrap_err().line, Some(3));
        assert_eq!(parse("a: 1\na: 2\n").unwrap_err().line, Some(2));
        assert_eq!(parse("").unwrap_err().problem, "the file is empty");
        assert_eq!(
            parse("a: 1\n---\na: 2\n").unwrap_err().problem,
            "the file holds more than one YAML document"
        );
    }
}
